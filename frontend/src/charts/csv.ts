/** Tables as CSV (RFC 4180), safe to open in a spreadsheet. */

import type { Entry, Table } from './types';

/** Rows that are joined at a time: a string has a longest length, a list of them has not. */
const CHUNK = 4096;

/** The parts of a CSV file, to be put one after another. */
export function csvParts(table: Table): string[] {
  const parts = [line(table.columns)];
  for (let start = 0; start < table.rowCount; start += CHUNK) {
    const rows = Array.from({ length: Math.min(CHUNK, table.rowCount - start) }, (_, index) =>
      line(table.row(start + index)),
    );
    parts.push(rows.join(''));
  }
  return parts;
}

function line(entries: readonly Entry[]): string {
  return `${entries.map(csvField).join(',')}\r\n`;
}

/** Numbers as they are; names may be hostile, and a spreadsheet runs what begins like a formula. */
export function csvField(entry: Entry): string {
  if (entry === null) return '';
  if (typeof entry === 'number') return String(Number(entry.toPrecision(9)));
  const text = /^[=+\-@\t\r\n＝＋－＠]/.test(entry) ? `'${entry}` : entry;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
