/** Similarity between layers: a small matrix, with its numbers in it. */
import { useEffect } from 'preact/hooks';
import { fitText, write } from '../../charts/paint';
import { colorAt, pageTheme, type Theme } from '../../charts/theme';
import type { Painter, Table } from '../../charts/types';
import type { LayerSimilarity } from '../../data/embeddings';
import { embedding } from '../../state/embeddings';
import * as selection from '../../state/selection';
import type { ExportRef } from '../figure';
import { nameOr } from '../words';
import { figureWords } from './words';

const CELL = { width: 64, height: 26 };
const NAME = 120;

export function LayerMatrix({
  similarity,
  exportRef,
}: {
  similarity: LayerSimilarity;
  exportRef: ExportRef;
}) {
  const { names, steps, values } = similarity;
  const theme = pageTheme().value;
  useEffect(() => {
    exportRef.current = {
      name: 'Similarity between layers',
      width: NAME + names.length * CELL.width,
      height: (names.length + 1) * CELL.height,
      draw: (painter) => drawMatrix(painter, theme, similarity),
      table: () => layerTable(similarity),
    };
  });
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must take the keys that scroll
    <section class="layer-matrix" aria-label="Similarity between layers" tabIndex={0}>
      <table>
        <thead>
          <tr>
            <td />
            {names.map((name) => (
              <th key={name} scope="col">
                <span class="clip" title={name}>
                  {nameOr(name)}
                </span>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {names.map((name, row) => (
            <tr key={name}>
              <th scope="row" title={`step ${steps[row]}`}>
                <button
                  type="button"
                  class="clip"
                  aria-pressed={name === embedding.value?.name}
                  onClick={() => {
                    selection.embedding.value = name;
                  }}
                >
                  {nameOr(name)}
                </button>
              </th>
              {names.map((other, column) => {
                const value = values[row * names.length + column]!;
                return (
                  <td key={other} style={cellStyle(theme, value)}>
                    {figureWords(value, 2)}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** From here on viridis is light enough for dark words on it. */
const LIGHT = 0.55;

function cellStyle(theme: Theme, value: number): Record<string, string> {
  if (!Number.isFinite(value)) return {};
  const place = Math.min(1, Math.max(0, value));
  return { background: colorAt(theme, 'fraction', place), color: inkOn(place) };
}

const inkOn = (place: number) => (place > LIGHT ? '#000000' : '#ffffff');

function layerTable({ names, steps, values }: LayerSimilarity): Table {
  return {
    columns: ['layer', 'step', ...names],
    rowCount: names.length,
    row: (index) => [
      names[index]!,
      steps[index] ?? null,
      ...names.map((_, column) => {
        const value = values[index * names.length + column]!;
        return Number.isFinite(value) ? value : null;
      }),
    ],
  };
}

function drawMatrix(painter: Painter, theme: Theme, { names, values }: LayerSimilarity): void {
  const ink = { color: theme.token['text-2'] };
  for (const [row, name] of names.entries()) {
    const y = (row + 1.5) * CELL.height;
    const x = NAME + (row + 0.5) * CELL.width;
    write(painter, theme, fitText(painter, theme, name, NAME - 8), 0, y, ink);
    write(painter, theme, fitText(painter, theme, name, CELL.width - 4), x, CELL.height / 2, {
      ...ink,
      align: 'center',
    });
    for (let column = 0; column < names.length; column++) {
      const value = values[row * names.length + column]!;
      const left = NAME + column * CELL.width;
      const place = Math.min(1, Math.max(0, value));
      if (Number.isFinite(value)) {
        painter.fillStyle = colorAt(theme, 'fraction', place);
        painter.fillRect(left, y - CELL.height / 2, CELL.width, CELL.height);
      }
      const color = Number.isFinite(value) ? inkOn(place) : theme.token['text-3'];
      write(painter, theme, figureWords(value, 2), left + CELL.width / 2, y, { color, align: 'center' });
    }
  }
}
