/** A statistic explains itself: what it is, and what a healthy or an ill network shows. */
import type { StatisticInfo } from '../data/types';
import { catalogue } from '../state/store';
import { Info } from './icons';
import { Popover } from './popover';

/** The catalogue's entry of a statistic, once the catalogue is there. */
export function statisticInfo(id: string): StatisticInfo | null {
  return catalogue.value.value?.statistics.find((statistic) => statistic.id === id) ?? null;
}

export function Explain({ id }: { id: string }) {
  const info = statisticInfo(id);
  if (info === null) return null;
  return <About info={info} />;
}

export type Definable = Pick<StatisticInfo, 'label' | 'definition' | 'reading'>;

/** What something is, behind a button. */
export function About({ info }: { info: Definable }) {
  return (
    <Popover label={`What is ${info.label}?`} class="icon-button small" button={<Info />}>
      {() => (
        <div class="sheet">
          <Definition info={info} />
        </div>
      )}
    </Popover>
  );
}

export function Definition({ info }: { info: Definable }) {
  return (
    <div class="definition">
      <h3>{info.label}</h3>
      <p>{info.definition}</p>
      <p class="secondary">{info.reading}</p>
    </div>
  );
}
