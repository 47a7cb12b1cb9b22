/** The whole tab. */
import { Bar } from './bar';
import { Help } from './help';
import { MainView } from './main-view';
import { readout } from './readout';
import { Tabs } from './tabs';

export function App() {
  return (
    <>
      <Bar />
      <Tabs />
      <main>
        <h1 class="visually-hidden">Gradient Flow</h1>
        <MainView />
      </main>
      <p class="visually-hidden" aria-live="polite">
        {readout.value}
      </p>
      <Help />
    </>
  );
}
