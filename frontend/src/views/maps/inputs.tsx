/** The inputs of a probe: the chosen one large, with a map over it, and all of them to choose from. */
import { useEffect, useId, useRef } from 'preact/hooks';
import { InputPicture } from '../../charts/maps/InputPicture';
import type { Pictures, Probe } from '../../data/maps';
import { inputs, opacity, overlay, pages, sample } from '../../state/maps';
import { CURSOR, liesOverInput, over, overChoice, overScale } from '../../state/maps-over';
import { sourceKey } from '../../state/maps-sources';
import { pageQuery } from '../../state/maps-wanted';
import * as selection from '../../state/selection';
import { DataNotice } from '../data-notice';
import { Pick } from '../pick';
import { plural } from '../words';
import { AboutProbe } from './about-probe';
import { pictureOf } from './panes';
import { kindWords, sampleName, sourceName } from './words';

export function InputPanel({ probe }: { probe: Probe }) {
  const { value, error } = inputs.value;
  const pictures = probe.inputs === null ? null : value;
  return (
    <aside class="maps-inputs" aria-label="Inputs">
      <h3>
        {sampleName(probe, sample.value)}
        <span class="caption">of {plural(probe.samples, 'input')}</span>
      </h3>
      <DataNotice error={error} />
      {pictures !== null && <Chosen pictures={pictures} />}
      {probe.inputs !== null && <OverInput probe={probe} />}
      {probe.samples > 1 && <Samples probe={probe} pictures={pictures} />}
      <AboutProbe probe={probe} />
    </aside>
  );
}

function Chosen({ pictures }: { pictures: Pictures }) {
  void pages.arrivals.value;
  const one = over.value;
  const map = one && pictureOf(pages.get(pageQuery(one.side, one.index)), one.index);
  const scale = overScale.value;
  return (
    <div class="chosen-input">
      <InputPicture
        pictures={pictures}
        index={sample.value}
        over={map !== null && scale !== null ? { map, scale, index: one!.index } : null}
        opacity={opacity.value}
      />
    </div>
  );
}

/** Which map lies over the input, and how much of the input shows through. */
function OverInput({ probe }: { probe: Probe }) {
  const id = useId();
  const choices = [
    { key: '', label: 'Nothing over it' },
    { key: CURSOR, label: 'The chosen map over it' },
    ...probe.maps
      .filter(({ kind }) => liesOverInput(kind))
      .map((one) => ({
        key: sourceKey(one),
        label: `${kindWords(one.kind).label} over it, ${sourceName(one)}`,
      })),
  ];
  const chosen = choices.find(({ key }) => key === overChoice.value) ?? choices[0]!;
  return (
    <div class="over-input">
      <Pick
        name="Picture"
        chosen={chosen.label}
        class="control slim"
        items={choices.map(({ key, label }) => ({
          label,
          checked: key === chosen.key,
          action: () => {
            overlay.value = key;
          },
        }))}
      />
      {chosen.key !== '' && (
        <label class="opacity" for={id}>
          Opacity
          <span class="track">
            <input
              id={id}
              type="range"
              min={0}
              max={100}
              value={100 * opacity.value}
              style={{ '--done': `${100 * opacity.value}%` }}
              aria-valuetext={`${Math.round(100 * opacity.value)} %`}
              onInput={(event) => {
                opacity.value = event.currentTarget.valueAsNumber / 100;
              }}
            />
          </span>
        </label>
      )}
    </div>
  );
}

function Samples({ probe, pictures }: { probe: Probe; pictures: Pictures | null }) {
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  const at = sample.value;
  useEffect(() => {
    list.current?.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' });
  }, [at]);
  const select = (index: number) => {
    selection.sample.value = Math.min(probe.samples - 1, Math.max(0, index));
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const to = {
      ArrowLeft: at - 1,
      ArrowUp: at - 1,
      ArrowRight: at + 1,
      ArrowDown: at + 1,
      Home: 0,
      End: probe.samples - 1,
    }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    select(to);
  };
  return (
    <div
      ref={list}
      class={pictures === null ? 'samples worded' : 'samples'}
      role="listbox"
      aria-label="Inputs of the probe"
      aria-activedescendant={`${id}-${at}`}
      tabIndex={0}
      onKeyDown={onKeyDown}
    >
      {Array.from({ length: probe.samples }, (_, index) => (
        // biome-ignore lint/a11y/useKeyWithClickEvents: the list around it has the keys, by aria-activedescendant.
        <div
          key={index}
          id={`${id}-${index}`}
          role="option"
          tabIndex={-1}
          aria-selected={index === at}
          class="sample"
          onClick={() => select(index)}
        >
          {pictures !== null && <InputPicture pictures={pictures} index={index} />}
          <span class="clip" title={sampleName(probe, index)}>
            {sampleName(probe, index)}
          </span>
        </div>
      ))}
    </div>
  );
}
