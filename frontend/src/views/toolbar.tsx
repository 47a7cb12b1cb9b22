/** Above a picture that was recorded at some steps: which one, at which step and beside what; and how it is shown. */
import type { ComponentChildren } from 'preact';
import { Choice, type ChoiceProps } from './choice';
import { StepBar, type StepBarProps } from './step-bar';

export interface ToolbarProps {
  readonly which: ComponentChildren;
  readonly steps: StepBarProps;
  readonly compare: ComponentChildren;
  /** Ways to show it. */
  readonly children: ComponentChildren;
}

export function Toolbar({ which, steps, compare, children }: ToolbarProps) {
  return (
    <>
      <div class="view-toolbar">
        {which}
        <StepBar {...steps} />
        {compare}
      </div>
      <div class="view-toolbar">{children}</div>
    </>
  );
}

/** A choice with a word before it. */
export function LabelledChoice<Id extends string>({ word, ...choice }: { word: string } & ChoiceProps<Id>) {
  return (
    <span class="labelled">
      <span class="muted">{word}</span>
      <Choice {...choice} />
    </span>
  );
}
