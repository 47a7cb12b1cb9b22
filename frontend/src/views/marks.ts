/** Facts as marks on the charts. */
import { formatCount } from '../charts/numbers';
import type { RowFlag, Severity, StepMark } from '../charts/types';
import type { Fact } from '../data/types';

/** A word for the right edge of a row. */
const REMARKS: Readonly<Record<string, string>> = {
  nonfinite: 'NaN or infinite',
  zero_gradient: 'all zero',
  no_gradient: 'no gradient',
  gradient_fall: 'smallest gradient',
  gradient_drop: 'fell',
  update_spike: 'update spike',
};

/** How a fact looks. Facts are not verdicts, so only what no gradient should ever be stands out. */
export function severityOf({ kind }: Fact): Severity {
  return kind === 'nonfinite' ? 'warning' : 'note';
}

/** A flag at the first layer of each fact, the selected fact before all others. */
export function rowFlags(facts: readonly Fact[], selected: Fact | null): RowFlag[] {
  const ordered = selected === null ? facts : [selected, ...facts.filter((fact) => fact !== selected)];
  return ordered.flatMap((fact) => {
    const row = fact.layers[0];
    return row === undefined ? [] : [{ row, severity: severityOf(fact), remark: REMARKS[fact.kind] ?? '' }];
  });
}

/** Where facts about a layer begin, as far as the cursor does not say it already. */
export function stepMarks(facts: readonly Fact[], layer: number | null, step: number | null): StepMark[] {
  const here = facts.filter((fact) => layer !== null && fact.layers.includes(layer) && fact.step !== step);
  return here.map((fact) => ({
    step: fact.step,
    label: formatCount(fact.step),
    severity: severityOf(fact),
  }));
}
