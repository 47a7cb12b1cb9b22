/** The maps of the chosen module, with what is said about their colours and their order. */
import { computed } from '@preact/signals';
import { ColorLegend } from '../../charts/ColorLegend';
import { legendScale } from '../../charts/maps/domain';
import { MapGrid } from '../../charts/maps/MapGrid';
import { type MapPane, stateOf } from '../../charts/maps/types';
import type { MarkKind } from '../../charts/marks';
import { formatCount } from '../../charts/numbers';
import type { MapSource, Probe } from '../../data/maps';
import {
  cursor,
  inView,
  order,
  otherLayer,
  scale,
  show,
  side,
  size,
  sort,
  sortStep,
  zoomed,
} from '../../state/maps';
import type { Side } from '../../state/maps-wanted';
import * as selection from '../../state/selection';
import { Figure } from '../figure';
import { Info } from '../icons';
import { Popover } from '../popover';
import { say } from '../readout';
import { Failures } from '../states';
import { plural, sentence } from '../words';
import { otherTrouble } from './compare';
import { LoadSteps } from './load-steps';
import { panes } from './panes';
import { MapsToolbar } from './toolbar';
import { useWishes } from './use-wishes';
import { kindWords, scaleWords, sourceName, sourceWords } from './words';

export function Stage({ probe, side: shown }: { probe: Probe; side: Side }) {
  useWishes();
  const { source, step } = shown;
  const { noun } = kindWords(source.kind);
  const name = sourceName(source);
  const title = `${name} at step ${formatCount(step)}`;
  const colours = sentence(scaleWords(scale.value, source, probe.steps.length));
  return (
    <section class="maps-stage" aria-label="Maps">
      <MapsToolbar probe={probe} />
      <Figure title={title} class="maps-figure" heading={<Heading source={source} />} aside={<Legend />}>
        {(exportRef) => (
          <div class="maps-body">
            <p class="view-notes">
              <span>
                {colours}
                {scale.value.mode === 'map' && legendMap.value !== null && (
                  <span class="muted">
                    ; the legend is that of {noun} {formatCount(legendMap.value)}
                  </span>
                )}
              </span>
              <LoadSteps probe={probe} side={shown} when={scale.value.mode === 'steps'} />
              <Notes />
            </p>
            <div class="maps-grid">
              <MapGrid
                title={title}
                panes={panes.value}
                order={order.value}
                scale={scale.value}
                size={size.value}
                noun={noun}
                cursor={cursor.value}
                onCursor={(index) => {
                  cursor.value = index;
                }}
                onOpen={() => {
                  zoomed.value = true;
                }}
                onClose={() => {
                  const was = zoomed.value;
                  zoomed.value = false;
                  return was;
                }}
                onView={(maps) => {
                  if (maps.join() !== inView.peek().join()) inView.value = maps;
                }}
                onReadout={say}
                caption={`${probe.name} · ${sourceWords(source)} · ${colours}${rangeOfLegend()}`}
                empty={`No ${noun} is shown: see the choice above and the numbers beside it.`}
                exportRef={exportRef}
              />
            </div>
          </div>
        )}
      </Figure>
    </section>
  );
}

function Heading({ source }: { source: MapSource }) {
  const { label, definition, reading, noun } = kindWords(source.kind);
  return (
    <>
      <h3 class="clip">{sourceName(source)}</h3>
      <Popover label={`What are ${label}?`} class="icon-button small" button={<Info />}>
        {() => (
          <div class="sheet">
            <div class="definition">
              <h3>{label}</h3>
              <p>{definition}</p>
              <p class="secondary">{reading}</p>
              <p>
                Each map is stored in 256 levels between its lowest and its highest value. Its <b>strength</b>{' '}
                is the mean magnitude over the {noun}, which maps can be sorted by.
              </p>
              <p class="secondary">
                A dot on paper is zero everywhere, two strokes another constant, vermilion with a stroke has
                no finite value, and hatched is not there. A badge says how many values of a map are not
                finite; they are drawn as the lowest.
              </p>
            </div>
          </div>
        )}
      </Popover>
      <span class="caption clip">
        {label} · {sourceWords(source)}
      </span>
    </>
  );
}

/** What else is to be said: the order, another layer or step that is selected elsewhere, and what failed. */
function Notes() {
  const wanted = side.value;
  if (wanted === null) return null;
  const notes: string[] = [];
  if (sort.value === 'strength')
    notes.push(`Sorted by strength at step ${formatCount(sortStep.value ?? 0)}.`);
  if (show.value !== 'all')
    notes.push(`${plural(order.value.length, 'map')} of ${formatCount(wanted.source.maps)}.`);
  const step = selection.step.value;
  if (step !== null && step !== wanted.step)
    notes.push(`Maps were recorded at step ${formatCount(wanted.step)}, not at ${formatCount(step)}.`);
  if (otherLayer.value !== null) notes.push(`Layer ${otherLayer.value} has no maps.`);
  const trouble = [otherTrouble(wanted), ...panes.value.map((pane) => pane.trouble)].filter(Boolean);
  return (
    <>
      {notes.length > 0 && <span>{notes.join(' ')}</span>}
      <Failures words={trouble} />
    </>
  );
}

/** Whose range the legend shows: that of the map under the cursor, or of the first in sight that has one. */
const legendMap = computed(
  () => [cursor.value, ...inView.value].find((index) => scale.value.domain(index) !== null) ?? null,
);

function Legend() {
  const domain = legendMap.value === null ? null : scale.value.domain(legendMap.value);
  if (domain === null) return null;
  const colours = legendScale(domain, scale.value.signed);
  const marks = marksIn(panes.value, inView.value);
  return (
    <div class="legend">
      <ColorLegend title="the maps" scale={colours} marks={marks} />
    </div>
  );
}

/** The marks that stand somewhere in sight. */
function marksIn(shown: readonly MapPane[], maps: readonly number[]): MarkKind[] {
  const pictures = shown.flatMap((pane) =>
    maps.map((index) => (index < pane.count ? pane.map(index) : null)).filter((map) => map !== null),
  );
  const zero = pictures.some((map) => stateOf(map) === 'constant' && map.low === 0);
  const ill = pictures.some((map) => stateOf(map) === 'nonfinite');
  return [...(zero ? (['zero'] as const) : []), ...(ill ? (['nonfinite'] as const) : [])];
}

function rangeOfLegend(): string {
  const domain = scale.value.mode === 'map' ? null : scale.value.domain(0);
  if (domain === null) return '';
  const [low, high] = legendScale(domain, scale.value.signed).domain;
  return `, ${low} to ${high}`;
}
