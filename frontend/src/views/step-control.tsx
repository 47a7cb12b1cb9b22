/** Which step: a slider with the findings marked above it, neighbours, a number, and play. */
import { formatCount } from '../charts/numbers';
import { moveStep, selectStep } from '../state/actions';
import { recordedStep, step, steps } from '../state/derived';
import { findingList } from '../state/findings';
import { playing, stopPlaying, togglePlay } from '../state/play';
import { recordAt } from '../state/steps';
import { Pause, Play } from './icons';
import { Neighbour } from './neighbour';

export function StepControl() {
  const last = steps.value.at(-1) ?? 0;
  const first = steps.value[0] ?? 0;
  const at = step.value ?? last;
  const empty = steps.value.length < 2;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would bring its own looks and no more meaning.
    <div class="step-control" role="group" aria-label="Step">
      <span class="label" aria-hidden="true">
        Step
      </span>
      <button
        type="button"
        class="icon-button"
        aria-label={playing.value ? 'Stop' : 'Play the run'}
        title={playing.value ? 'Stop (space)' : 'Play the run (space)'}
        disabled={empty}
        onClick={togglePlay}
      >
        {playing.value ? <Pause /> : <Play />}
      </button>
      <Move count={-1} disabled={empty || at <= first} />
      <Track first={first} last={last} at={at} />
      <Move count={1} disabled={empty || at >= last} />
      <StepInput at={recordedStep.value} />
      <span class="of muted">{steps.value.length > 0 && `of ${formatCount(last)}`}</span>
    </div>
  );
}

function Move({ count, disabled }: { count: number; disabled: boolean }) {
  const label = count < 0 ? 'Previous recorded step' : 'Next recorded step';
  return (
    <Neighbour
      by={count}
      label={label}
      title={`${label} (${count < 0 ? '←' : '→'})`}
      disabled={disabled}
      onMove={() => moveStep(count)}
    />
  );
}

function Track({ first, last, at }: { first: number; last: number; at: number }) {
  const share = (value: number) => (last > first ? (value - first) / (last - first) : 0);
  const place = (value: number) => `calc(7px + (100% - 14px) * ${share(value)})`;
  const snap = (value: number) => steps.value[recordAt(steps.value, value)] ?? value;
  const onKeyDown = (event: KeyboardEvent) => {
    const records = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10 }[event.key];
    if (records === undefined) return;
    event.preventDefault();
    moveStep(event.shiftKey ? records * 10 : records);
  };
  return (
    <span class="track">
      <span class="marks" aria-hidden="true">
        {findingList.value.map(
          ({ id, severity, first_step: begin }) =>
            begin !== null && <i key={id} class={`is-${severity}`} style={{ left: place(begin) }} />,
        )}
      </span>
      <input
        type="range"
        aria-label="Step"
        aria-valuetext={`step ${formatCount(at)} of ${formatCount(last)}`}
        min={first}
        max={Math.max(last, first + 1)}
        value={at}
        disabled={last <= first}
        style={{ '--done': place(at) }}
        onKeyDown={onKeyDown}
        onInput={(event) => {
          stopPlaying();
          selectStep(snap(event.currentTarget.valueAsNumber));
        }}
      />
    </span>
  );
}

function StepInput({ at }: { at: number | null }) {
  const commit = (input: HTMLInputElement) => {
    const typed = Number(input.value.replace(/[\s,.']/g, ''));
    if (input.value.trim() !== '' && Number.isFinite(typed)) selectStep(typed);
    input.value = recordedStep.value === null ? '' : formatCount(recordedStep.value);
  };
  return (
    <input
      class="number"
      type="text"
      inputMode="numeric"
      aria-label="Go to step"
      value={at === null ? '' : formatCount(at)}
      disabled={at === null}
      onChange={(event) => commit(event.currentTarget)}
      onFocus={(event) => event.currentTarget.select()}
    />
  );
}
