/** The bar at the top: what is looked at, and whether it is up to date. */
import { HelpButton } from './help';
import { LayerFilter } from './layer-filter';
import { Live } from './live';
import { RunPicker } from './run-picker';
import { Settings } from './settings';
import { StepControl } from './step-control';

export function Bar() {
  return (
    <header class="bar">
      <RunPicker />
      <StepControl />
      <span class="space" />
      <LayerFilter />
      <Live />
      <span class="pair">
        <Settings />
        <HelpButton />
      </span>
    </header>
  );
}
