/** Findings as marks on the charts. */
import { formatCount } from '../charts/numbers';
import type { RowFlag, Severity, StepMark } from '../charts/types';
import type { Consequence, Grade } from '../data/findings';

type Marked = Pick<Consequence, 'title' | 'severity' | 'layers' | 'first_step'>;

/** What a severity is called on the page, and drawn as. */
export function severityOf(grade: Grade): Severity {
  return grade === 'info' ? 'note' : grade;
}

/** A flag at the first layer of each finding, the selected one before all others. */
export function rowFlags(findings: readonly Marked[], selected: Marked | null): RowFlag[] {
  const ordered = selected === null ? findings : [selected, ...findings.filter((one) => one !== selected)];
  return ordered.flatMap(({ title, severity, layers: [row] }) =>
    row === undefined ? [] : [{ row, severity: severityOf(severity), remark: title }],
  );
}

/** Where findings about a layer begin, as far as the cursor does not say it already. */
export function stepMarks(
  findings: readonly Marked[],
  layer: number | null,
  step: number | null,
): StepMark[] {
  return findings.flatMap(({ layers, first_step, severity }) =>
    layer === null || first_step === null || first_step === step || !layers.includes(layer)
      ? []
      : [{ step: first_step, label: formatCount(first_step), severity: severityOf(severity) }],
  );
}
