/** The page that opens: what is wrong, where, and the layer behind it. */
import { aboutSeries, run } from '../../state/store';
import { useFollow } from '../use-follow';
import { Findings } from './findings';
import { LayerPanel } from './layer-panel';
import { Picture } from './picture';
import { Unrecorded } from './unrecorded';

export function Overview() {
  const heat = useFollow(() => aboutSeries({ statistic: 'gradient_norm', rows: 'layers' }));
  const known = run.value.value;
  if (known === null || known.layers.length === 0 || known.sampling.records === 0) return <Unrecorded />;
  return (
    <div class="overview">
      <Findings />
      <Picture heat={heat.value} />
      <LayerPanel heat={heat.value.value} />
    </div>
  );
}
