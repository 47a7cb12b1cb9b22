/** How often steps were observed in the course of a run. */
import type { Spending } from '../data/types';

export interface Change {
  /** First step of which that is known. */
  readonly from: number;
  readonly interval: number;
}

/** Where the interval of observation changed; the first one is that of the beginning. */
export function intervalChanges({ steps, spans, interval }: Spending): Change[] {
  const changes: Change[] = [];
  for (const [record, every] of interval.entries()) {
    if (!(every >= 1) || changes.at(-1)?.interval === every) continue;
    const since = steps[record - 1] ?? steps[record]! - spans[record]!;
    changes.push({ from: since + 1, interval: every });
  }
  return changes;
}
