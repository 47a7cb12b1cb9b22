/** What the points are compared with, and why that may not be there. */
import { against } from '../../state/against';
import {
  areLinked,
  embedding,
  embeddingStep,
  embeddings,
  otherEmbedding,
  otherEmbeddings,
  otherSide,
} from '../../state/embeddings';
import { runs } from '../../state/store';
import { Compare } from '../compare';
import { sentence } from '../words';

export function ComparePoints() {
  const side = otherSide.value;
  const names = (embeddings.value.value ?? []).map(({ name }) => name);
  return (
    <Compare
      what="points"
      other={against.value}
      step={embeddingStep.value ?? 0}
      otherSteps={side?.embedding.layouts[side.layout]?.steps ?? []}
      embeddings={names.filter((name) => name !== embedding.value?.name)}
    />
  );
}

/** Why the other side is not there, or not linked, in words; empty where all is well, or nothing is compared. */
export function comparisonTrouble(): string {
  const other = against.value;
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
