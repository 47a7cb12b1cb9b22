/** The heatmap of the chosen statistic, and beside it all rows at the step, row by row. */
import { type Signal, signal } from '@preact/signals';
import type { ComponentChildren, VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { valueScale } from '../charts/scale';
import type { Domain, Insets, LayerLabel, RowFlag, RowFrame, Selection, StepMark } from '../charts/types';
import type { DataError } from '../data/errors';
import type { Series } from '../data/types';
import { DataNotice } from './data-notice';
import { Figure } from './figure';
import { LayerHeatmap } from './layer-heatmap';
import { Legend } from './legend';
import { labelOf, toMatrix } from './page';
import { SkipNote } from './skip-note';
import { Strips, useStrips } from './strips';
import { plural } from './words';
import { ZoomButton } from './zoom-button';

const INSETS: Insets = { left: 224, right: 16, top: 28, bottom: 0 };
/** Without a strip below, the picture has the steps. */
const WITH_AXIS: Insets = { ...INSETS, bottom: 24 };
/** Width of the profile, as the style sheet has it, and of the space before it. */
const PROFILE = 264 + 24;
/** The strips go on under the profile, where the names of their curves stand. */
const STRIP_INSETS: Insets = { ...INSETS, right: INSETS.right + PROFILE };

export interface StatisticStageProps {
  readonly statistic: string;
  readonly series: Series | null;
  readonly error: DataError | null;
  readonly labels: readonly LayerLabel[];
  /** What a log scale spans at least. */
  readonly magnitudes?: Domain | undefined;
  /** What a row is, in a word. */
  readonly noun: string;
  /** Rows that pass the filter. */
  readonly shown: readonly number[];
  readonly selection: Selection;
  readonly onSelect: (change: Partial<Selection>) => void;
  readonly flags: readonly RowFlag[];
  readonly marks: readonly StepMark[];
  /** What stands above the picture: the choice of the statistic, say. */
  readonly choices: ComponentChildren;
  /** Drawn in the rows of the heatmap. */
  readonly profile: (frame: Signal<RowFrame | null>) => VNode;
}

export function StatisticStage(props: StatisticStageProps) {
  const { statistic, series, error, labels, noun, shown, selection } = props;
  const { label, scale: kind } = labelOf(statistic);
  const frame = useMemo(() => signal<RowFrame | null>(null), []);
  const { magnitudes } = props;
  const scale = useMemo(
    () => valueScale(kind, series === null ? [] : [toMatrix(series)], magnitudes),
    [kind, series, magnitudes],
  );
  const strips = useStrips().filter(({ id }) => id === 'loss');
  return (
    <div class="flow-stage">
      <div class="toolbar">
        {props.choices}
        <ZoomButton />
        <SkipNote />
      </div>
      <Figure
        title={label}
        statistic={statistic}
        caption={plural(labels.length, noun)}
        class="flow-heat"
        aside={<Legend statistic={statistic} scale={scale} series={series} row={selection.row} />}
      >
        {(exportRef) => (
          <>
            <DataNotice error={error} />
            {series === null ? (
              <div class="waiting" />
            ) : (
              <LayerHeatmap
                title={label}
                series={series}
                labels={labels}
                scale={scale}
                rows={shown}
                selection={selection}
                onSelect={props.onSelect}
                flags={props.flags}
                marks={props.marks}
                insets={strips.length > 0 ? INSETS : WITH_AXIS}
                tree
                exportRef={exportRef}
                frame={frame}
              />
            )}
          </>
        )}
      </Figure>
      {props.profile(frame)}
      <Strips strips={strips} insets={STRIP_INSETS} />
    </div>
  );
}
