/** What TensorBoard loads into the tab's frame. */
import { render as renderInto } from 'preact';
import chartStyles from './charts/charts.css?inline';
import { nameDocument, watchTheme } from './lib/host';
import { startPolling } from './state/live';
import { openRuns } from './state/opening';
import { syncAddress } from './state/sync';
import { App } from './views/app';
import { listenToKeys } from './views/keys';
import styles from './views/styles/index.css?inline';

/** Called by TensorBoard once the module is there. */
export function render(): void {
  nameDocument('Gradient Flow');
  const sheet = document.createElement('style');
  sheet.textContent = `${chartStyles}\n${styles}`;
  document.head.append(sheet);
  watchTheme((dark) => {
    document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  });
  startPolling();
  syncAddress();
  openRuns();
  listenToKeys();
  renderInto(<App />, document.body);
}
