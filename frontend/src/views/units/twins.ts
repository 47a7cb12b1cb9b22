/** Units that do the same as another one of their layer, or the opposite, in words. */
import type { TwinMark } from '../../charts/lifelines/life';
import { formatCount, formatValue } from '../../charts/numbers';
import type { Redundancy, RedundantLayer, Twin } from '../../data/types';
import { nameOr, plural } from '../words';

/** So many units are named. */
const NAMED = 3;
const NONE: ReadonlyMap<number, TwinMark> = new Map();

/** The marks of an activation's units: of the redundant ones, and of those that they are like. */
export function twinMarks(known: Redundancy | null, activation: number): ReadonlyMap<number, TwinMark> {
  const layer = known?.redundant.find((one) => one.activation === activation);
  if (layer === undefined) return NONE;
  const marks = new Map<number, TwinMark>();
  const others = new Map<number, Twin[]>();
  for (const one of layer.units) {
    const known = others.get(one.twin);
    if (known) known.push(one);
    else others.set(one.twin, [one]);
  }
  for (const [unit, twins] of others)
    marks.set(unit, { opposite: twins.every(({ opposite }) => opposite), words: othersWords(twins) });
  for (const twin of layer.units)
    marks.set(twin.unit, { opposite: twin.opposite, words: twinWords(twin, layer) });
  return marks;
}

/** "the same as unit 3: differs by 0.02 % at most over 2,048 samples" */
export function twinWords({ twin, opposite, difference }: Twin, { samples }: RedundantLayer): string {
  const what = opposite ? 'the opposite of' : 'the same as';
  const how = difference === 0 ? 'no difference' : `differs by ${formatValue(100 * difference)} % at most`;
  return `${what} unit ${formatCount(twin)}: ${how} over ${plural(samples, 'sample')}`;
}

/** "units 17 and 40 are the same", "unit 21 is its opposite" */
function othersWords(twins: readonly Twin[]): string {
  const parts: string[] = [];
  for (const turned of [false, true]) {
    const units = twins.filter(({ opposite }) => opposite === turned).map(({ unit }) => unit);
    if (units.length === 0) continue;
    const what = turned ? (units.length === 1 ? 'its opposite' : 'its opposites') : 'the same';
    parts.push(`${listed(units)} ${units.length === 1 ? 'is' : 'are'} ${what}`);
  }
  return parts.join(', ');
}

/** "unit 3", "units 3, 17 and 40", "units 3, 17, 40 and 5 more" */
function listed(units: readonly number[]): string {
  const names = units.slice(0, NAMED).map(formatCount);
  const last = units.length > NAMED ? `${formatCount(units.length - NAMED)} more` : names.pop()!;
  return `unit${units.length === 1 ? '' : 's'} ${names.length === 0 ? last : `${names.join(', ')} and ${last}`}`;
}

/** Why the units of an activation were not compared, in words; empty where they were. */
export function whyNotCompared(known: Redundancy | null, activation: number): string {
  return known?.not_compared.find((one) => one.activation === activation)?.reason ?? '';
}

/** "lstm (its incoming weights were not compared)", layer by layer; empty where all were compared. */
export function notComparedWords(known: Redundancy): string {
  const reasons = [...new Set(known.not_compared.map(({ reason }) => reason))];
  const those = (reason: string) => known.not_compared.filter((one) => one.reason === reason);
  return reasons.map((reason) => `${namesOf(those(reason))} (${reason})`).join('; ');
}

function namesOf(layers: readonly { readonly layer: string }[]): string {
  const names = layers.slice(0, NAMED).map(({ layer }) => nameOr(layer));
  const more = layers.length > NAMED ? [`${formatCount(layers.length - NAMED)} more`] : [];
  return [...names, ...more].join(', ');
}
