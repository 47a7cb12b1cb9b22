/** The evidence of the selected finding, and the selected layer close up. */
import type { ComponentChildren } from 'preact';
import { formatCount } from '../../charts/numbers';
import type { Consequence } from '../../data/findings';
import type { Layer, Series } from '../../data/types';
import { layerIndex, layers, selectedLayer } from '../../state/derived';
import { isAbout, selectedFinding } from '../../state/findings';
import { run } from '../../state/store';
import { Distribution } from '../distribution';
import { labelOf } from '../page';
import { RowLines } from '../row-lines';
import { nameOr, plural } from '../words';
import { Evidence } from './evidence';
import { type EvidenceChart, chartsOf as evidenceCharts } from './evidence-curve';

/** The statistics beside the norm, in this order, as far as they were recorded. */
const BESIDE = ['update_ratio', 'gradient_zero_fraction'];
/** Charts that there is room for, and how many of them are evidence. */
const CHARTS = 4;
const EVIDENCE = 2;

export function LayerPanel({ heat }: { heat: Series | null }) {
  const layer = selectedLayer.value;
  const index = layerIndex.value;
  const finding = selectedFinding.value;
  const evidence = finding !== null && isAbout(finding, index) ? evidenceOf(finding) : [];
  if (layer === null || index === null) return <NoLayer evidence={evidence} />;
  const charts = [...evidence, ...chartsOf(layer, index, heat)];
  return (
    <section class="layer-panel" aria-label={`Layer ${layer.name}`}>
      <LayerHead layer={layer} index={index} />
      <div class="layer-charts">{charts.slice(0, CHARTS)}</div>
    </section>
  );
}

const charted = new WeakMap<Consequence, EvidenceChart[]>();

/** Always the same charts for a finding, so that one that did not change is not drawn again. */
function evidenceOf(finding: Consequence): ComponentChildren[] {
  const known = charted.get(finding) ?? evidenceCharts(finding.evidence, (id) => labelOf(id).label);
  charted.set(finding, known);
  return known
    .slice(0, EVIDENCE)
    .map((chart, place) => <Evidence key={`${finding.id} ${place}`} finding={finding} chart={chart} />);
}

/** What is shown of every layer. */
function chartsOf(layer: Layer, index: number, heat: Series | null): ComponentChildren[] {
  const known = run.value.value;
  const lines = (id: string, others: Series | null = null) => (
    <RowLines key={id} statistic={id} kind="layers" row={index} name={layer.name} others={others} />
  );
  return [
    lines('gradient_norm', heat),
    ...(known?.has_bins ? [<Distribution key="bins" kind="layers" row={index} name={layer.name} />] : []),
    ...BESIDE.filter((id) => known?.statistics.includes(id)).map((id) => lines(id)),
  ];
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

function NoLayer({ evidence }: { evidence: readonly ComponentChildren[] }) {
  return (
    <section class="layer-panel" aria-label="Layer">
      {evidence.length > 0 ? (
        <div class="layer-charts">{evidence}</div>
      ) : (
        <p class="muted">Choose a layer in the picture above, with the pointer or with ↑ and ↓.</p>
      )}
    </section>
  );
}
