/** The steps at which something was recorded: play, neighbours, and a slider over them. */
import { formatCount } from '../charts/numbers';
import type { StepPlayer } from '../state/step-player';
import { Pause, Play } from './icons';
import { Neighbour } from './neighbour';
import { sentence } from './words';

export interface StepBarProps {
  readonly player: StepPlayer;
  /** What was recorded: "maps". */
  readonly what: string;
  /** The key that plays, as a hint. */
  readonly playKey?: string;
}

export function StepBar({ player, what, playKey }: StepBarProps) {
  const steps = player.steps.value;
  const at = steps.indexOf(player.step.value ?? -1);
  const last = steps.length - 1;
  const share = last > 0 ? at / last : 0;
  const words = `step ${formatCount(steps[at] ?? 0)}`;
  const playing = player.playing.value;
  const play = `${playing ? 'Stop' : 'Play'} the ${what}`;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would bring its own looks and no more meaning.
    <div class="step-bar" role="group" aria-label={`Steps of the ${what}`}>
      <button
        type="button"
        class="icon-button"
        aria-label={play}
        title={playKey === undefined ? play : `${play} (${playKey})`}
        disabled={last < 1}
        onClick={() => player.toggle()}
      >
        {playing ? <Pause /> : <Play />}
      </button>
      <Neighbour
        by={-1}
        label={`${sentence(what)} recorded before`}
        disabled={at <= 0}
        onMove={() => player.move(-1)}
      />
      <span class="track">
        <input
          type="range"
          aria-label={`Recorded ${what}`}
          aria-valuetext={`${words}, ${at + 1} of ${steps.length}`}
          min={0}
          max={Math.max(1, last)}
          value={at}
          disabled={last < 1}
          style={{ '--done': `calc(7px + (100% - 14px) * ${share})` }}
          onInput={(event) => player.select(steps[event.currentTarget.valueAsNumber]!)}
        />
      </span>
      <Neighbour
        by={1}
        label={`${sentence(what)} recorded next`}
        disabled={at >= last}
        onMove={() => player.move(1)}
      />
      <span class="step-words">
        {words}
        <span class="muted"> · {`${formatCount(at + 1)} of ${formatCount(steps.length)}`}</span>
      </span>
    </div>
  );
}
