/** The page that opens: what stands out, where it stands, and the layer behind it. */
import { aboutSeries } from '../../state/store';
import { useFollow } from '../use-follow';
import { Facts } from './facts';
import { LayerPanel } from './layer-panel';
import { Picture } from './picture';

export function Overview() {
  const heat = useFollow(() => aboutSeries({ statistic: 'gradient_norm', rows: 'layers' }));
  return (
    <div class="overview">
      <Facts />
      <Picture heat={heat.value} />
      <LayerPanel heat={heat.value.value} />
    </div>
  );
}
