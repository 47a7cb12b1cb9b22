/** A chart with its heading, a table behind it, and the ways to save it. */
import { type Signal, signal } from '@preact/signals';
import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { DataTable } from '../charts/DataTable';
import { saveCsv, savePng, saveSvg } from '../charts/exports';
import type { Exportable, Table } from '../charts/types';
import { Explain } from './explain';
import { More } from './icons';
import { Menu } from './menu';

export type ExportRef = { current: Exportable | null };

export interface FigureProps {
  readonly title: string;
  /** The statistic that is drawn, which can explain itself. */
  readonly statistic?: string | undefined;
  /** What follows the title in the same line. */
  readonly caption?: ComponentChildren | undefined;
  /** What stands at the right of the heading. */
  readonly aside?: ComponentChildren;
  /** In the place of title and caption. */
  readonly heading?: ComponentChildren;
  readonly class?: string | undefined;
  readonly children: (exportRef: ExportRef) => VNode;
}

const figures = new Map<Element, () => void>();

/** Show the table behind the chart in focus, or behind the first one of the page; the chart again after that. */
export function toggleTable(): void {
  const focused = document.activeElement?.closest('.figure') ?? document.querySelector('.figure');
  if (focused) figures.get(focused)?.();
}

export function Figure(props: FigureProps) {
  const { title, statistic, caption, aside, heading, children } = props;
  const root = useRef<HTMLElement>(null);
  const exportRef = useRef<Exportable | null>(null);
  const asTable = useMemo(() => signal(false), []);
  const table = useMemo(() => signal<Table | null>(null), []);
  const toggle = useMemo(
    () => () => {
      asTable.value = !asTable.value;
    },
    [asTable],
  );

  useEffect(() => {
    const element = root.current!;
    figures.set(element, toggle);
    return () => {
      figures.delete(element);
    };
  }, [toggle]);
  useEffect(() => {
    if (asTable.value) table.value = exportRef.current?.table() ?? null;
  });

  const save = (how: (chart: Exportable) => unknown) => () => exportRef.current && how(exportRef.current);
  const items = [
    { label: asTable.value ? 'Chart' : 'Table', hint: 't', action: toggle },
    { label: 'Save as PNG', action: save(savePng) },
    { label: 'Save as SVG', action: save(saveSvg) },
    { label: 'Save as CSV', action: save(saveCsv) },
  ];
  return (
    <figure ref={root} class={`figure ${props.class ?? ''}`} aria-label={title}>
      <header class="figure-head">
        {heading ?? (
          <>
            <h3 title={title}>{title}</h3>
            {statistic !== undefined && <Explain id={statistic} />}
            {caption !== undefined && <span class="caption clip">{caption}</span>}
          </>
        )}
        <span class="space" />
        {aside}
        <Menu
          label={`Table and export of ${title}`}
          class="icon-button small"
          align="end"
          button={<More />}
          items={items}
        />
      </header>
      <div class={asTable.value ? 'figure-body behind' : 'figure-body'}>{children(exportRef)}</div>
      {asTable.value && <TableBehind title={title} table={table} />}
    </figure>
  );
}

/** Reads the table by itself, so that a new table does not draw the whole figure again. */
function TableBehind({ title, table }: { title: string; table: Signal<Table | null> }) {
  return (
    <div class="figure-table">
      {table.value?.note !== undefined && (
        <p class="table-note">Only {table.value.note}: those that were in view. A CSV file holds more.</p>
      )}
      {table.value !== null && <DataTable title={title} table={table.value} />}
    </div>
  );
}
