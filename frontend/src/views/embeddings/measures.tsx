/** Measures of the vectors and of the picture over the steps, for all embeddings with the same points. */
import { signal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { NO_SKIPS } from '../../charts/skips';
import { pageTheme } from '../../charts/theme';
import type { Series as Curve, Level, ScaleKind } from '../../charts/types';
import { embedding, ownCompanions, ownSide } from '../../state/embeddings';
import { columnOf, numberAt, type Track, tracks } from '../../state/embeddings-tables';
import * as selection from '../../state/selection';
import { About, type Definable } from '../explain';
import { LinesFigure } from '../lines-figure';
import { colour } from '../page';
import { Pick } from '../pick';
import { runToken } from '../swatch';
import { nameOr } from '../words';
import { embeddingAxis, embeddingSelection, goToStep } from './axis';

interface Measure extends Definable {
  readonly id: string;
  /** Where the numbers are: of the vectors, or of the layout. */
  readonly from: 'measures' | 'layout';
  readonly scale: ScaleKind;
}

const MEASURES: readonly Measure[] = [
  {
    id: 'trustworthiness',
    label: 'Trustworthiness',
    from: 'layout',
    scale: 'linear',
    definition:
      'Whether the neighbours of a point in the picture are its neighbours among the vectors; 1 is perfect.',
    reading: 'Where it falls, the picture shows neighbours that are none.',
  },
  {
    id: 'drift',
    label: 'Movement',
    from: 'layout',
    scale: 'linear',
    definition: 'How far the points moved since the record before, over the radius of the picture.',
    reading: 'The dashed level is what noise of 2 % alone does: movement near it says nothing.',
  },
  {
    id: 'probe_accuracy',
    label: 'Linear probe',
    from: 'measures',
    scale: 'fraction',
    definition:
      'How often a linear (ridge) classifier of the vectors is right on points that it was not fitted to.',
    reading:
      'It rises as classes become separable by planes. A layer where it stops rising adds nothing to that.',
  },
  {
    id: 'knn_accuracy',
    label: 'kNN accuracy',
    from: 'measures',
    scale: 'fraction',
    definition: 'How often the majority of the 10 nearest neighbours has the class of the point.',
    reading: 'High where classes are clumps, also such that no plane parts.',
  },
  {
    id: 'effective_rank',
    label: 'Effective rank',
    from: 'measures',
    scale: 'linear',
    definition:
      'Over how many directions the vectors spread: the exponential of the entropy of their covariance’s eigenvalues.',
    reading:
      'A fall towards 1 is a collapse: all points on a line. It falls somewhat as classes come to be told apart.',
  },
  {
    id: 'fisher_ratio',
    label: 'Fisher ratio',
    from: 'measures',
    scale: 'linear',
    definition: 'The scatter between the classes over that within them.',
    reading: 'It grows as classes draw together and apart from each other.',
  },
  {
    id: 'similarity',
    label: 'Similarity to before',
    from: 'layout',
    scale: 'linear',
    definition:
      'Linear CKA of the vectors with those of the record before: 1 where they differ by a turn and a scale only.',
    reading: 'It nears 1 where the layer has settled.',
  },
];

const chosen = signal('trustworthiness');

/** The measures of which there is any number. */
function recorded(list: readonly Track[]): readonly Measure[] {
  return MEASURES.filter(({ id, from }) =>
    list.some((track) => columnOf(track[from], id)?.some((value) => Number.isFinite(value))),
  );
}

export function Measures() {
  const { value, error, loading } = tracks.value;
  const list = value ?? [];
  const offered = useMemo(() => recorded(list), [value]);
  const measure = offered.find(({ id }) => id === chosen.value) ?? offered[0] ?? MEASURES[0]!;
  const theme = pageTheme().value;
  const curves = useMemo(() => curvesOf(list, measure), [value, measure, theme]);
  return (
    <LinesFigure
      title={measure.label}
      heading={
        <>
          {offered.length > 1 ? (
            <Pick
              name="Measure"
              chosen={measure.label}
              class="control slim"
              items={offered.map(({ id, label }) => ({
                label,
                checked: id === measure.id,
                action: () => {
                  chosen.value = id;
                },
              }))}
            />
          ) : (
            <h3>{measure.label}</h3>
          )}
          <About info={measure} />
        </>
      }
      error={error}
      series={curves}
      scale={measure.scale}
      levels={measure.id === 'drift' ? noiseLevel(list) : NO_LEVELS}
      steps={embeddingAxis}
      skips={NO_SKIPS}
      selection={embeddingSelection.value}
      onSelect={({ step }) => {
        if (step !== undefined && step !== null) goToStep(step);
      }}
      empty={loading ? '' : 'Nothing recorded'}
    />
  );
}

/** One curve an embedding; only records that have a number. */
function curvesOf(list: readonly Track[], { id, from }: Measure): Curve[] {
  const curves = list.flatMap((track): Curve[] => {
    const column = columnOf(track[from], id);
    const table = track[from];
    if (table === null || column === null) return [];
    const known = [...column.keys()].filter((row) => Number.isFinite(column[row]));
    if (known.length === 0) return [];
    return [
      {
        label: trackName(track),
        color: colour(runToken(placeOf(track))),
        dashed: track.run !== selection.run.value,
        steps: Float64Array.from(known, (row) => table.steps[row]!),
        spans: new Float64Array(known.length).fill(1),
        values: Float32Array.from(known, (row) => column[row]!),
      },
    ];
  });
  return curves.length === 1 ? [{ ...curves[0]!, label: '' }] : curves;
}

/** Its colour stays, whichever embedding is the chosen one. */
function placeOf({ run, embedding: name }: Track): number {
  const place = ownCompanions.value.findIndex((one) => one.name === name);
  return run === selection.run.value && place >= 0 ? place : ownCompanions.value.length;
}

function trackName({ run, embedding: name }: Track): string {
  if (run === selection.run.value) return nameOr(name);
  return name === embedding.value?.name ? run : `${run}, ${nameOr(name)}`;
}

const NO_LEVELS: readonly Level[] = [];

/** What noise alone does to the picture that is shown. */
function noiseLevel(list: readonly Track[]): readonly Level[] {
  const step = ownSide.value?.step;
  const value = step === undefined ? Number.NaN : numberAt(list[0]?.layout ?? null, 'noise_floor', step);
  return Number.isFinite(value) ? [{ value, label: 'noise alone' }] : NO_LEVELS;
}
