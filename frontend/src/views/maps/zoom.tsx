/** One map large: its values, its range, and its strength over the steps that were seen. */
import { useMemo } from 'preact/hooks';
import { MapLarge } from '../../charts/maps/MapLarge';
import { rangeWords } from '../../charts/maps/words';
import { formatCount, formatValue } from '../../charts/numbers';
import { NO_SKIPS } from '../../charts/skips';
import { pageTheme } from '../../charts/theme';
import type { Series as Curve } from '../../charts/types';
import type { Probe } from '../../data/maps';
import { cursor, pages, scale, seen, sides, zoomed } from '../../state/maps';
import { mapsPlayer } from '../../state/maps-play';
import { strengthCurve } from '../../state/maps-seen';
import type { Side } from '../../state/maps-wanted';
import { stepAtOrBefore } from '../../state/steps';
import { Close } from '../icons';
import { LinesFigure } from '../lines-figure';
import { colour } from '../page';
import { say } from '../readout';
import { runToken } from '../swatch';
import { plural, sentence } from '../words';
import { LoadSteps } from './load-steps';
import { panes } from './panes';
import { kindWords, rankWords, sourceName } from './words';

export function Zoom({ probe, side }: { probe: Probe; side: Side }) {
  const { source } = side;
  const { noun, row, column } = kindWords(source.kind);
  const index = Math.min(cursor.value, source.maps - 1);
  const title = `${sentence(noun)} ${formatCount(index)} of ${sourceName(source)}`;
  const close = () => {
    zoomed.value = false;
    document.querySelector<HTMLElement>('.map-grid')?.focus();
  };
  return (
    <section
      class="maps-zoom"
      aria-label={title}
      onKeyDown={(event) => {
        if (event.key !== 'Escape') return;
        event.stopPropagation();
        close();
      }}
    >
      <header class="figure-head">
        <h3 class="clip">{title}</h3>
        <span class="space" />
        <button type="button" class="icon-button small" aria-label="Close the large map" onClick={close}>
          <Close />
        </button>
      </header>
      <div class={panes.value.length > 1 ? 'zoom-maps two' : 'zoom-maps'}>
        {panes.value.map((pane) => {
          const map = index < pane.count ? pane.map(index) : null;
          return (
            <div key={pane.title}>
              {panes.value.length > 1 && <h4 class="clip">{pane.title}</h4>}
              <MapLarge
                title={`${title}, ${pane.title}`}
                pane={pane}
                index={index}
                scale={scale.value}
                axes={{ row, column }}
                onReadout={say}
              />
              <dl class="zoom-facts">
                <dt>Range</dt>
                <dd>{map === null ? '–' : rangeWords(map)}</dd>
                <dt>Strength</dt>
                <dd>{strengthWords(pane.strength, index)}</dd>
              </dl>
            </div>
          );
        })}
      </div>
      <Strength probe={probe} side={side} index={index} title={title} />
    </section>
  );
}

function strengthWords(strength: Float32Array | null, index: number): string {
  const value = strength?.[index];
  if (strength === null || value === undefined) return '–';
  return `${formatValue(value, 3)}, ${rankWords(strength, index)}`;
}

function Strength(props: { probe: Probe; side: Side; index: number; title: string }) {
  const { probe, side, index, title } = props;
  const arrivals = pages.arrivals.value;
  const theme = pageTheme().value;
  const known = seen.of(side);
  const curves = useMemo(() => curvesOf(sides.value, index), [sides.value, index, arrivals, theme]);
  return (
    <div class="zoom-strength">
      <LinesFigure
        title={`Strength of ${title}`}
        heading={
          <>
            <h3>Strength</h3>
            <span class="caption clip">{stepsWords(known.size, probe.steps.length)}</span>
          </>
        }
        series={curves}
        scale="linear"
        skips={NO_SKIPS}
        selection={{ row: null, step: side.step }}
        onSelect={({ step }) => {
          const to = step === undefined || step === null ? null : stepAtOrBefore(probe.steps, step);
          if (to !== null) mapsPlayer.select(to);
        }}
        empty=""
      />
      <LoadSteps probe={probe} side={side} when />
    </div>
  );
}

function stepsWords(loaded: number, all: number): string {
  return loaded < all
    ? `at ${formatCount(loaded)} of ${formatCount(all)} steps loaded`
    : `at ${plural(all, 'step')}`;
}

/** One curve a run. */
function curvesOf(shown: readonly Side[], index: number): Curve[] {
  const runs = shown.filter((side, number) => shown.findIndex(({ run }) => run === side.run) === number);
  return runs.map((side, number) => {
    const { steps, values } = strengthCurve(seen.of(side), index);
    return {
      label: runs.length > 1 ? side.run : '',
      color: colour(runToken(number)),
      steps,
      spans: new Float64Array(steps.length).fill(1),
      values,
    };
  });
}
