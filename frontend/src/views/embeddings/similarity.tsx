/** How similar the vectors are: between steps, between layers, and with what they are compared with. */
import { useMemo } from 'preact/hooks';
import { ColorLegend } from '../../charts/ColorLegend';
import { Heatmap } from '../../charts/heatmap/Heatmap';
import type { CellWords } from '../../charts/heatmap/scene';
import { formatCount } from '../../charts/numbers';
import { valueScale } from '../../charts/scale';
import { type Insets, type LayerLabel, type Matrix, STATE } from '../../charts/types';
import type { Similarity as Between } from '../../data/embeddings';
import { against } from '../../state/against';
import { embeddingStep, otherSide } from '../../state/embeddings';
import {
  chooseSimilarity,
  layerSimilarity,
  type SimilarityOf,
  similarity,
  similarityChoices,
  similarityOf,
} from '../../state/embeddings-similarity';
import * as selection from '../../state/selection';
import { DataNotice } from '../data-notice';
import { About } from '../explain';
import { type ExportRef, Figure } from '../figure';
import { hover } from '../page';
import { Pick } from '../pick';
import { say } from '../readout';
import { nameOr } from '../words';
import { embeddingAxis, goToStep } from './axis';
import { LayerMatrix } from './layer-matrix';
import { figureWords } from './words';

const STATISTIC = { label: 'Linear CKA', unit: '', scale: 'fraction' } as const;
export const CKA_SCALE = valueScale('fraction');
const CKA = {
  label: 'Linear CKA',
  definition:
    'How alike two sets of vectors of the same points are, whatever their widths: 1 where one is the other turned, mirrored and scaled, 0 where they have nothing in common.',
  reading:
    'Bright blocks along the diagonal are phases of the training in which little changed. Layers that are alike do the same work twice. Click a cell to put its two steps side by side.',
};

const INSETS: Insets = { left: 76, right: 12, top: 8, bottom: 24 };
const NOTHING_FOLDED: ReadonlySet<string> = new Set();
const NO_FOLD = () => {};

export function Similarity() {
  const of = similarityOf.value;
  const { error } = of === 'layers' ? layerSimilarity.value : similarity.value;
  return (
    <Figure
      title={titleOf(of)}
      heading={
        <>
          {similarityChoices.value.length > 1 ? <Of of={of} /> : <h3>Similarity</h3>}
          <About info={CKA} />
        </>
      }
      aside={
        <div class="legend">
          <ColorLegend title="similarity" scale={CKA_SCALE} marks={[]} />
        </div>
      }
    >
      {(exportRef) => (
        <>
          <DataNotice error={error} />
          {of === 'layers' ? <Layers exportRef={exportRef} /> : <Steps of={of} exportRef={exportRef} />}
        </>
      )}
    </Figure>
  );
}

function Of({ of }: { of: SimilarityOf }) {
  return (
    <Pick
      name="Similarity"
      chosen={choiceWords(of)}
      class="control slim"
      items={similarityChoices.value.map((id) => ({
        label: choiceWords(id),
        checked: id === of,
        action: () => chooseSimilarity(id),
      }))}
    />
  );
}

function choiceWords(of: SimilarityOf): string {
  if (of === 'steps') return 'CKA of steps';
  return of === 'layers' ? 'CKA of layers' : `CKA with ${otherName()}`;
}

function titleOf(of: SimilarityOf): string {
  if (of === 'steps') return 'Similarity between steps';
  if (of === 'layers') return `Similarity between layers at step ${formatCount(embeddingStep.value ?? 0)}`;
  return `Similarity to the steps of ${otherName()}`;
}

function otherName(): string {
  const side = otherSide.value;
  return nameOr((against.value?.kind === 'run' ? side?.run : side?.embedding.name) ?? '');
}

function Layers({ exportRef }: { exportRef: ExportRef }) {
  const { value, error, loading } = layerSimilarity.value;
  if (value === null) return loading || error !== null ? null : <p class="muted">Nothing recorded</p>;
  return <LayerMatrix similarity={value} exportRef={exportRef} />;
}

/** Rows are the steps of the other side, columns those of the own. */
function Steps({ of, exportRef }: { of: SimilarityOf; exportRef: ExportRef }) {
  const { value, error, loading } = similarity.value;
  const matrix = useMemo(() => toMatrix(value), [value]);
  const labels = useMemo(() => labelsOf(value), [value]);
  const words: CellWords = (row, record) => figureWords(matrix.values[row * matrix.steps.length + record]!);
  const chosen = rowOfAgainst(value, of);
  return (
    <Heatmap
      title={titleOf(of)}
      layers={labels}
      matrix={matrix}
      statistic={STATISTIC}
      scale={CKA_SCALE}
      steps={embeddingAxis}
      hover={hover}
      selection={{ row: chosen, step: embeddingStep.value }}
      onSelect={({ row, step }) => {
        if (step !== undefined && step !== null) goToStep(step);
        const beside = value?.otherSteps[row ?? -1];
        if (beside !== undefined && of === 'steps') selection.against.value = `step:${beside}`;
      }}
      folded={NOTHING_FOLDED}
      onFold={NO_FOLD}
      fits
      labels="compact"
      insets={INSETS}
      words={words}
      onReadout={say}
      exportRef={exportRef}
      empty={loading || error !== null ? '' : 'Nothing recorded'}
    />
  );
}

/** The row of the step that is compared with. */
function rowOfAgainst(value: Between | null, of: SimilarityOf): number | null {
  const other = against.value;
  const step =
    of === 'steps' ? (other?.kind === 'step' ? other.step : null) : (otherSide.value?.step ?? null);
  const row = value?.otherSteps.indexOf(step ?? -1) ?? -1;
  return row < 0 ? null : row;
}

function labelsOf(value: Between | null): LayerLabel[] {
  return (value?.otherSteps ?? []).map((step) => ({ name: `step ${formatCount(step)}` }));
}

/** Transposed: a row a step of the other side. */
function toMatrix(value: Between | null): Matrix {
  const [columns, rows] = [value?.steps.length ?? 0, value?.otherSteps.length ?? 0];
  const cell = (place: number) => value!.values[(place % columns) * rows + Math.floor(place / columns)]!;
  const values = Float32Array.from({ length: rows * columns }, (_, place) => cell(place));
  return {
    rows,
    steps: Float64Array.from(value?.steps ?? []),
    spans: new Float64Array(columns).fill(1),
    values,
    states: Uint8Array.from(values, (one) => (Number.isFinite(one) ? STATE.number : STATE.notRecorded)),
  };
}
