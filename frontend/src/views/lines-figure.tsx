/** Curves over the steps of the page, with its cursor and its selection. */
import { StepLines, type StepLinesProps } from '../charts/lines/StepLines';
import type { Insets } from '../charts/types';
import type { DataError } from '../data/errors';
import { skips } from '../state/scaling';
import { DataNotice } from './data-notice';
import { Figure, type FigureProps } from './figure';
import { hover, onSelect, stepSelection, steps } from './page';
import { say } from './readout';

const INSETS: Insets = { left: 48, right: 12, top: 10, bottom: 24 };
/** Room for the names of several curves. */
const NAMED: Insets = { ...INSETS, right: 112 };

type OfPage = 'steps' | 'hover' | 'selection' | 'onSelect';
type Lines = Omit<StepLinesProps, OfPage | 'title' | 'onReadout' | 'exportRef'>;

export interface LinesFigureProps
  extends Lines,
    Partial<Pick<StepLinesProps, OfPage>>,
    Pick<FigureProps, 'title' | 'statistic' | 'caption' | 'heading' | 'class'> {
  /** What the curves are called where nobody sees the title; by default that. */
  readonly name?: string;
  /** Why there are no newer curves. */
  readonly error?: DataError | null;
}

export function LinesFigure(props: LinesFigureProps) {
  const { title, name = title, statistic, caption, heading, class: kind, error = null, ...lines } = props;
  return (
    <Figure title={title} statistic={statistic} caption={caption} heading={heading} class={kind}>
      {(exportRef) => (
        <>
          <DataNotice error={error} />
          <StepLines
            steps={steps}
            hover={hover}
            selection={stepSelection.value}
            onSelect={onSelect}
            skips={skips.value}
            insets={lines.series.length > 1 ? NAMED : INSETS}
            {...lines}
            title={name}
            onReadout={say}
            exportRef={exportRef}
          />
        </>
      )}
    </Figure>
  );
}
