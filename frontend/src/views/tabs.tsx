/** The row of views. Links, so that they open in another window too. */
import { computed } from '@preact/signals';
import { readHash } from '../lib/host';
import * as selection from '../state/selection';
import { run } from '../state/store';
import { formatHash } from '../state/url';
import { AboutRun } from './about-run';
import { VIEWS, type View } from './views';

/** The views that the run has data for. */
export const shownViews = computed<readonly View[]>(() => {
  const known = run.value.value;
  return known === null ? [] : VIEWS.filter((view) => view.hasData(known));
});

/** The view to draw: the selected one, or the first where that has no data. */
export const currentView = computed<View | null>(
  () => shownViews.value.find(({ id }) => id === selection.view.value) ?? shownViews.value[0] ?? null,
);

export function Tabs() {
  return (
    <nav class="tabs" aria-label="Views">
      {shownViews.value.map(({ id, label }) => (
        <a
          key={id}
          href={formatHash(readHash(), { ...selection.toLink(), view: id })}
          target="_top"
          aria-current={id === currentView.value?.id ? 'page' : undefined}
          onClick={(event) => {
            if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
            event.preventDefault();
            selection.view.value = id;
          }}
        >
          {label}
        </a>
      ))}
      <span class="space" />
      <AboutRun />
    </nav>
  );
}
