/** The steps at which a probe was recorded: play, neighbours, and a slider over them. */
import { formatCount } from '../../charts/numbers';
import type { Probe } from '../../data/maps';
import { probeStep, selectProbeStep } from '../../state/maps';
import { moveProbeStep, playingMaps, stopMaps, togglePlayMaps } from '../../state/maps-play';
import { Left, Pause, Play, Right } from '../icons';

export function StepBar({ probe: { steps } }: { probe: Probe }) {
  const at = steps.indexOf(probeStep.value ?? -1);
  const last = steps.length - 1;
  const share = last > 0 ? at / last : 0;
  const words = `step ${formatCount(steps[at] ?? 0)}`;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would bring its own looks and no more meaning.
    <div class="step-bar" role="group" aria-label="Steps of the probe">
      <button
        type="button"
        class="icon-button"
        aria-label={playingMaps.value ? 'Stop the maps' : 'Play the maps'}
        title={playingMaps.value ? 'Stop' : 'Play the recorded maps'}
        disabled={last < 1}
        onClick={togglePlayMaps}
      >
        {playingMaps.value ? <Pause /> : <Play />}
      </button>
      <Move count={-1} disabled={at <= 0} />
      <span class="track">
        <input
          type="range"
          aria-label="Recorded maps"
          aria-valuetext={`${words}, ${at + 1} of ${steps.length}`}
          min={0}
          max={Math.max(1, last)}
          value={at}
          disabled={last < 1}
          style={{ '--done': `calc(7px + (100% - 14px) * ${share})` }}
          onInput={(event) => {
            stopMaps();
            selectProbeStep(steps[event.currentTarget.valueAsNumber]!);
          }}
        />
      </span>
      <Move count={1} disabled={at >= last} />
      <span class="step-words">
        {words}
        <span class="muted"> · {`${formatCount(at + 1)} of ${formatCount(steps.length)}`}</span>
      </span>
    </div>
  );
}

function Move({ count, disabled }: { count: number; disabled: boolean }) {
  const label = count < 0 ? 'Maps recorded before' : 'Maps recorded next';
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={label}
      title={label}
      disabled={disabled}
      onClick={() => {
        stopMaps();
        moveProbeStep(count);
      }}
    >
      {count < 0 ? <Left /> : <Right />}
    </button>
  );
}
