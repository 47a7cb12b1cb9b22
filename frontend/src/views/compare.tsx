/** What a picture is compared with: another step, another embedding of the run, or another run. */
import { formatCount } from '../charts/numbers';
import type { Against } from '../state/against';
import * as selection from '../state/selection';
import { stepAtOrBefore } from '../state/steps';
import { runs } from '../state/store';
import type { MenuItem } from './menu';
import { Neighbour } from './neighbour';
import { Pick } from './pick';
import { nameOr } from './words';

export interface CompareProps {
  /** What was recorded: "maps". */
  readonly what: string;
  readonly other: Against | null;
  /** The step that is shown. */
  readonly step: number;
  /** Steps at which the other side was recorded. */
  readonly otherSteps: readonly number[];
  /** Other embeddings of the run. */
  readonly embeddings?: readonly string[];
}

export function Compare(props: CompareProps) {
  const { what, other, otherSteps } = props;
  return (
    <span class="compare">
      <Pick
        name="Comparison"
        chosen={againstWords(other)}
        class={other === null ? 'control' : 'control pressed'}
        align="end"
        items={items(props)}
      />
      {other?.kind === 'step' && <OtherStep what={what} steps={otherSteps} step={other.step} />}
    </span>
  );
}

function items({ other, step, embeddings = [] }: CompareProps): MenuItem[] {
  const action = (value: string | null) => () => {
    selection.against.value = value;
  };
  const others = (runs.answer.value ?? []).filter(({ run }) => run !== selection.run.value);
  return [
    { label: 'Nothing', checked: other === null, action: action(null) },
    {
      label: `Step ${formatCount(step)} of this run`,
      hint: 'keep it beside',
      checked: other?.kind === 'step' && other.step === step,
      action: action(`step:${step}`),
    },
    ...embeddings.map((name) => ({
      label: `Embedding ${nameOr(name)}`,
      checked: other?.kind === 'embedding' && other.embedding === name,
      action: action(`embedding:${name}`),
    })),
    ...others.map(({ run }) => ({
      label: `Run ${run}`,
      checked: other?.kind === 'run' && other.run === run,
      action: action(`run:${run}`),
    })),
  ];
}

function againstWords(other: Against | null): string {
  if (other === null) return 'Compare with …';
  if (other.kind === 'step') return `Compared with step ${formatCount(other.step)}`;
  return `Compared with ${nameOr(other.kind === 'run' ? other.run : other.embedding)}`;
}

/** Moves the step that is kept beside. */
function OtherStep({ what, steps, step }: { what: string; steps: readonly number[]; step: number }) {
  const at = steps.indexOf(stepAtOrBefore(steps, step) ?? -1);
  const move = (by: number, where: string) => (
    <Neighbour
      by={by}
      label={`Compare with the ${what} recorded ${where}`}
      small
      disabled={steps[at + by] === undefined}
      onMove={() => {
        selection.against.value = `step:${steps[at + by]}`;
      }}
    />
  );
  return (
    <>
      {move(-1, 'before')}
      {move(1, 'next')}
    </>
  );
}
