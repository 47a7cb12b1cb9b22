/** Activation maps: the inputs of a probe, and what the modules make of them over the steps. */
import { useEffect } from 'preact/hooks';
import { drawnSides, probe, probes, zoomed } from '../../state/maps';
import { linkMaps } from '../../state/maps-link';
import { Unreadable } from '../states';
import { NoMaps, NoProbes, NoSteps } from './empty';
import { InputPanel } from './inputs';
import { Stage } from './stage';
import { Zoom } from './zoom';

export function Maps() {
  useEffect(linkMaps, []);
  const { value, error } = probes.value;
  if (value === null)
    return error === null ? <Waiting /> : <Unreadable what="activation maps" words={error.message} />;
  if (probe.value === null) return <NoProbes />;
  if (probe.value.maps.length === 0) return <NoMaps probe={probe.value} />;
  const side = drawnSides.value[0];
  if (side === undefined) return <NoSteps probe={probe.value} />;
  return (
    <div class={zoomed.value ? 'maps with-zoom' : 'maps'}>
      <h2 class="visually-hidden">Activation maps</h2>
      <InputPanel probe={probe.value} />
      <Stage probe={probe.value} side={side} />
      {zoomed.value && <Zoom probe={probe.value} side={side} />}
    </div>
  );
}

function Waiting() {
  return (
    <div class="maps">
      <div class="maps-waiting" role="status" aria-label="Loading maps" />
    </div>
  );
}
