/** The numbers behind a chart, for those who read them or hear them. Only what is in view is in the page. */

import { useSignal } from '@preact/signals';
import { useMemo, useRef } from 'preact/hooks';
import { useSize } from './canvas';
import { formatCount, formatValue } from './numbers';
import type { Entry, Table } from './types';

const ROW = 24;
const COLUMN = 128;
/** Rows and columns beyond the edge, so that scrolling does not show holes. */
const MORE = 4;

export interface DataTableProps {
  readonly title: string;
  readonly table: Table;
}

/** What is in view of `count` things of `size` pixels: from the first to before the last. */
export function windowOf(
  offset: number,
  room: number,
  size: number,
  count: number,
): [from: number, to: number] {
  const from = Math.max(0, Math.min(count, Math.floor(offset / size) - MORE));
  return [from, Math.max(from, Math.min(count, Math.ceil((offset + room) / size) + MORE))];
}

export function DataTable({ title, table }: DataTableProps) {
  const root = useRef<HTMLElement>(null);
  const size = useSize(root);
  const offset = useSignal({ left: 0, top: 0 });
  const [top, bottom] = windowOf(offset.value.top, size.value.height, ROW, table.rowCount);
  const [left, right] = windowOf(offset.value.left, size.value.width, COLUMN, table.columns.length);
  const rows = useMemo(
    () => Array.from({ length: bottom - top }, (_, index) => table.row(top + index)),
    [table, top, bottom],
  );
  return (
    <section
      ref={root}
      class="chart-table"
      aria-label={`${title}, table`}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must take the keys that scroll
      tabIndex={0}
      onScroll={({ currentTarget: { scrollLeft, scrollTop } }) => {
        offset.value = { left: scrollLeft, top: scrollTop };
      }}
    >
      <table
        aria-rowcount={table.rowCount + 1}
        aria-colcount={table.columns.length}
        style={{ width: `${table.columns.length * COLUMN}px` }}
      >
        <thead>
          <tr aria-rowindex={1}>
            <Space columns={left} />
            {table.columns.slice(left, right).map((name, index) => (
              <th key={left + index} scope="col" aria-colindex={left + index + 1} title={name}>
                {name}
              </th>
            ))}
            <Space columns={table.columns.length - right} />
          </tr>
        </thead>
        <tbody>
          {top > 0 && <tr style={{ height: `${top * ROW}px` }} />}
          {rows.map((entries, index) => (
            <tr key={top + index} aria-rowindex={top + index + 2}>
              <Space columns={left} />
              {entries.slice(left, right).map((entry, column) => (
                <td
                  key={left + column}
                  aria-colindex={left + column + 1}
                  class={typeof entry === 'string' ? 'text' : ''}
                >
                  {entryText(entry)}
                </td>
              ))}
              <Space columns={table.columns.length - right} />
            </tr>
          ))}
          {bottom < table.rowCount && <tr style={{ height: `${(table.rowCount - bottom) * ROW}px` }} />}
        </tbody>
      </table>
    </section>
  );
}

function Space({ columns }: { columns: number }) {
  return columns > 0 ? (
    <td aria-hidden="true" class="space" style={{ width: `${columns * COLUMN}px` }} />
  ) : null;
}

function entryText(entry: Entry): string {
  if (entry === null) return '';
  if (typeof entry === 'string') return entry;
  return Number.isInteger(entry) ? formatCount(entry) : formatValue(entry, 4);
}
