/** The steps at which there are points: play, neighbours, and a slider over them. */
import { formatCount } from '../../charts/numbers';
import {
  embeddingStep,
  embeddingSteps,
  moveEmbeddingStep,
  selectEmbeddingStep,
} from '../../state/embeddings';
import { playingEmbedding, stopEmbedding, togglePlayEmbedding } from '../../state/embeddings-play';
import { Left, Pause, Play, Right } from '../icons';

export function StepBar() {
  const steps = embeddingSteps.value;
  const at = steps.indexOf(embeddingStep.value ?? -1);
  const last = steps.length - 1;
  const share = last > 0 ? at / last : 0;
  const words = `step ${formatCount(steps[at] ?? 0)}`;
  const playing = playingEmbedding.value;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would bring its own looks and no more meaning.
    <div class="step-bar" role="group" aria-label="Steps of the embedding">
      <button
        type="button"
        class="icon-button play"
        aria-label={playing ? 'Stop the points' : 'Play the points'}
        title={playing ? 'Stop (space)' : 'Play how the points move (space)'}
        disabled={last < 1}
        onClick={togglePlayEmbedding}
      >
        {playing ? <Pause /> : <Play />}
      </button>
      <Move count={-1} disabled={at <= 0} />
      <span class="track">
        <input
          type="range"
          aria-label="Recorded points"
          aria-valuetext={`${words}, ${at + 1} of ${steps.length}`}
          min={0}
          max={Math.max(1, last)}
          value={at}
          disabled={last < 1}
          style={{ '--done': `calc(7px + (100% - 14px) * ${share})` }}
          onInput={(event) => {
            stopEmbedding();
            selectEmbeddingStep(steps[event.currentTarget.valueAsNumber]!);
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
  const label = count < 0 ? 'Points recorded before' : 'Points recorded next';
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={label}
      title={label}
      disabled={disabled}
      onClick={() => {
        stopEmbedding();
        moveEmbeddingStep(count);
      }}
    >
      {count < 0 ? <Left /> : <Right />}
    </button>
  );
}
