/** What the picture is compared with: another step, another embedding of the run, or another run. */
import { formatCount } from '../../charts/numbers';
import {
  areLinked,
  embedding,
  embeddingAgainst,
  embeddingStep,
  embeddings,
  otherEmbedding,
  otherEmbeddings,
  otherSide,
} from '../../state/embeddings';
import type { Against } from '../../state/embeddings-choice';
import { stepAtOrBefore } from '../../state/maps-sources';
import * as selection from '../../state/selection';
import { runs } from '../../state/store';
import { Down, Left, Right } from '../icons';
import { Menu, type MenuItem } from '../menu';
import { nameOr, sentence } from '../words';

export function Compare() {
  const other = embeddingAgainst.value;
  return (
    <span class="compare">
      <Menu
        label={`Comparison: ${againstWords(other)}`}
        class={other === null ? 'control' : 'control pressed'}
        align="end"
        button={
          <>
            <span class="clip">{againstWords(other)}</span>
            <Down />
          </>
        }
        items={items(other)}
      />
      {other?.kind === 'step' && <OtherStep step={other.step} />}
    </span>
  );
}

function items(other: Against | null): MenuItem[] {
  const item = (label: string, value: string | null, isChosen: boolean, hint?: string): MenuItem => ({
    label,
    checked: isChosen,
    ...(hint === undefined ? {} : { hint }),
    action: () => {
      selection.against.value = value;
    },
  });
  const step = embeddingStep.value ?? 0;
  const layers = (embeddings.value.value ?? []).filter(({ name }) => name !== embedding.value?.name);
  const others = (runs.answer.value ?? []).filter(({ run }) => run !== selection.run.value);
  return [
    item('Nothing', null, other === null),
    item(
      `Step ${formatCount(step)} of this run`,
      `step:${step}`,
      other?.kind === 'step' && other.step === step,
      'keep it beside',
    ),
    ...layers.map(({ name }) =>
      item(
        `Embedding ${nameOr(name)}`,
        `embedding:${name}`,
        other?.kind === 'embedding' && other.embedding === name,
      ),
    ),
    ...others.map(({ run }) => item(`Run ${run}`, `run:${run}`, other?.kind === 'run' && other.run === run)),
  ];
}

function againstWords(other: Against | null): string {
  if (other === null) return 'Compare with …';
  if (other.kind === 'step') return `Compared with step ${formatCount(other.step)}`;
  return `Compared with ${nameOr(other.kind === 'run' ? other.run : other.embedding)}`;
}

/** Moves the step that is kept beside. */
function OtherStep({ step }: { step: number }) {
  const side = otherSide.value;
  const steps = side?.embedding.layouts[side.layout]?.steps ?? [];
  const at = steps.indexOf(stepAtOrBefore(steps, step) ?? -1);
  const button = (by: number, label: string) => (
    <button
      type="button"
      class="icon-button small"
      aria-label={label}
      title={label}
      disabled={steps[at + by] === undefined}
      onClick={() => {
        selection.against.value = `step:${steps[at + by]}`;
      }}
    >
      {by < 0 ? <Left /> : <Right />}
    </button>
  );
  return (
    <>
      {button(-1, 'Compare with the points recorded before')}
      {button(1, 'Compare with the points recorded next')}
    </>
  );
}

/** Why the other side is not there, or not linked, in words; empty where all is well, or nothing is compared. */
export function comparisonTrouble(): string {
  const other = embeddingAgainst.value;
  if (other === null) return '';
  if (otherSide.value !== null)
    return areLinked.value
      ? ''
      : 'These are not known to be the same points: a selection in one is not one in the other.';
  const { error, loading } = otherEmbeddings.value;
  if (other.kind === 'run' && loading) return '';
  const name = other.kind === 'run' ? other.run : 'This run';
  if (error !== null) return `${name} can’t be read: ${error.message}`;
  if (other.kind === 'run' && !runs.answer.value?.some(({ run }) => run === other.run))
    return `There is no run ${other.run}.`;
  if (otherEmbedding.value === null)
    return sentence(
      `${name} has no embedding ${other.kind === 'embedding' ? other.embedding : embedding.value?.name}.`,
    );
  return `${sentence(name)} has no positions of it yet.`;
}
