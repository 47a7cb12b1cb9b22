/** Activations over steps: the share of their units in the chosen state. */
import { useMemo } from 'preact/hooks';
import { formatCount } from '../../charts/numbers';
import { valueScale } from '../../charts/scale';
import type { Insets, RowFlag } from '../../charts/types';
import type { DeadSeries } from '../../data/types';
import { UNIT } from '../../lib/units';
import {
  activationIndex,
  activationLabels,
  selectActivation,
  shownActivations,
} from '../../state/activations';
import { recordedStep } from '../../state/derived';
import * as selection from '../../state/selection';
import { catalogue } from '../../state/store';
import { Figure } from '../figure';
import { Info } from '../icons';
import { LayerHeatmap } from '../layer-heatmap';
import { Legend } from '../legend';
import { onSelect } from '../page';
import { Popover } from '../popover';
import { plural } from '../words';
import { cellWords, countAtEnd, countsTable, shareSeries } from './counts';

export interface SharesProps {
  readonly dead: DeadSeries;
  readonly insets: Insets;
}

/** The code of the state whose units are counted. */
export function chosenState(): number {
  const states = catalogue.value.value?.unit_states ?? [];
  const code = states.findIndex(({ id }) => id === selection.unitState.value);
  return code < 0 ? UNIT.dead : code;
}

export function Shares({ dead, insets }: SharesProps) {
  const state = chosenState();
  const label = catalogue.value.value?.unit_states[state]?.label ?? '';
  const labels = activationLabels.value;
  const kind = state === UNIT.dead ? 'dead' : 'share';
  const title = `${label} units`;
  const series = useMemo(() => shareSeries(dead, state, labels.length), [dead, state, labels.length]);
  const scale = useMemo(() => valueScale(kind), [kind]);
  const shown = useMemo(
    () => shownActivations.value.filter((row) => dead.activations.includes(row)),
    [dead, shownActivations.value],
  );
  const flags = useMemo(() => (state === UNIT.dead ? flagsOf(dead) : []), [dead, state]);
  const row = activationIndex.value;
  const place = (row: number) => dead.activations.indexOf(row);
  return (
    <Figure
      title={title}
      class="unit-shares"
      heading={
        <>
          <h3>{title}</h3>
          <ExplainState code={state} />
          <span class="caption clip">{plural(shown.length, 'activation')}</span>
        </>
      }
      aside={
        <Legend
          statistic=""
          title={`share of ${label.toLowerCase()} units`}
          scale={scale}
          series={series}
          row={row}
        />
      }
    >
      {(exportRef) => (
        <LayerHeatmap
          title={title}
          series={series}
          statistic={{ label: title, unit: '', scale: kind }}
          labels={labels}
          scale={scale}
          rows={shown}
          selection={{ row, step: recordedStep.value }}
          onSelect={({ row, step }) => {
            if (row !== undefined && row !== null) selectActivation(row);
            if (step !== undefined) onSelect({ step });
          }}
          flags={flags}
          marks={[]}
          insets={insets}
          tree={false}
          exportRef={exportRef}
          words={(row, record) => cellWords(dead, place(row), record, state, label)}
          table={() =>
            countsTable(
              dead,
              state,
              labels.map(({ name }) => name),
              shown,
            )
          }
        />
      )}
    </Figure>
  );
}

function ExplainState({ code }: { code: number }) {
  const info = catalogue.value.value?.unit_states[code];
  if (info === undefined) return null;
  return (
    <Popover label={`What is ${info.label}?`} class="icon-button small" button={<Info />}>
      {() => (
        <div class="sheet definition">
          <h3>{info.label}</h3>
          <p>{info.definition}</p>
        </div>
      )}
    </Popover>
  );
}

/** How many units are dead at the end, at the right edge of each row that has any; the worst first. */
function flagsOf(dead: DeadSeries): RowFlag[] {
  return dead.activations
    .map((row, place) => ({ row, count: countAtEnd(dead, place, UNIT.dead), of: dead.units[place]! }))
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count / b.of - a.count / a.of)
    .map(
      ({ row, count, of }) =>
        ({ row, severity: 'critical', remark: `${formatCount(count)} of ${formatCount(of)} dead` }) as const,
    );
}
