/** How many units of the chosen activation are in each state, as curves on the axis of the page. */
import { useMemo } from 'preact/hooks';
import { pageTheme } from '../../charts/theme';
import type { Series as Curve } from '../../charts/types';
import type { DeadSeries } from '../../data/types';
import { UNIT } from '../../lib/units';
import { catalogue } from '../../state/store';
import { colour } from '../page';
import type { Strip } from '../strips';
import { countOf } from './counts';

interface Look {
  readonly state: number;
  readonly token: string;
  readonly dashed?: boolean;
}

/** States that matter, as far as there are units in them; sparse ones are alive, and so are those that came back. */
const LOOKS: readonly Look[] = [
  { state: UNIT.dead, token: 'critical' },
  { state: UNIT.saturated, token: 'warning' },
  { state: UNIT.alive, token: 'run-1' },
  { state: UNIT.sparse, token: 'run-1', dashed: true },
  { state: UNIT.revived, token: 'run-3' },
];

export function useStateStrip(dead: DeadSeries, place: number): Strip | null {
  const theme = pageTheme().value;
  const states = catalogue.value.value?.unit_states;
  return useMemo(() => {
    if (place < 0) return null;
    const curves = LOOKS.map((look) => ({
      ...curveOf(dead, place, look.state),
      label: (states?.[look.state]?.label ?? '').toLowerCase(),
      color: colour(look.token),
      dashed: look.dashed ?? false,
    })).filter(({ values }) => Array.from(values).some((value) => value > 0));
    return { id: 'states', label: 'Units', scale: 'linear', curves, height: 76 };
  }, [dead, place, states, theme]);
}

function curveOf(dead: DeadSeries, place: number, state: number): Curve {
  const records = [...dead.steps.keys()].filter(
    (record) => countOf(dead, place, UNIT.notRecorded, record) < dead.units[place]!,
  );
  return {
    label: '',
    steps: Float64Array.from(records, (record) => dead.steps[record]!),
    spans: Float64Array.from(records, (record) => dead.spans[record]!),
    values: Float32Array.from(records, (record) => countOf(dead, place, state, record)),
  };
}
