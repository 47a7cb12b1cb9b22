/** The selected layer, close up. */
import { formatCount } from '../../charts/numbers';
import type { Layer, Series } from '../../data/types';
import { layerIndex, layers, selectedLayer } from '../../state/derived';
import { run } from '../../state/store';
import { Distribution } from '../distribution';
import { RowLines } from '../row-lines';
import { nameOr, plural } from '../words';

/** The statistics beside the norm, in this order, as far as they were recorded. */
const BESIDE = ['update_ratio', 'gradient_zero_fraction'];

export function LayerPanel({ heat }: { heat: Series | null }) {
  const layer = selectedLayer.value;
  const index = layerIndex.value;
  if (layer === null || index === null) return <NoLayer />;
  const recorded = run.value.value?.statistics ?? [];
  return (
    <section class="layer-panel" aria-label={`Layer ${layer.name}`}>
      <LayerHead layer={layer} index={index} />
      <div class="layer-charts">
        <RowLines statistic="gradient_norm" kind="layers" row={index} name={layer.name} others={heat} />
        {run.value.value?.has_bins && <Distribution kind="layers" row={index} name={layer.name} />}
        {BESIDE.filter((id) => recorded.includes(id)).map((id) => (
          <RowLines key={id} statistic={id} kind="layers" row={index} name={layer.name} />
        ))}
      </div>
    </section>
  );
}

function LayerHead({ layer, index }: { layer: Layer; index: number }) {
  const words = [
    [layer.type, layer.detail].filter(Boolean).join(' '),
    plural(layer.elements, 'parameter'),
    `layer ${formatCount(index + 1)} of ${formatCount(layers.value.length)}`,
    ...(layer.frozen ? ['frozen'] : []),
  ];
  return (
    <header class="layer-head">
      <h2 title={layer.name}>{nameOr(layer.name)}</h2>
      <span class="muted">{words.filter(Boolean).join(' · ')}</span>
    </header>
  );
}

function NoLayer() {
  return (
    <section class="layer-panel" aria-label="Layer">
      <p class="muted">Choose a layer in the picture above, with the pointer or with ↑ and ↓.</p>
    </section>
  );
}
