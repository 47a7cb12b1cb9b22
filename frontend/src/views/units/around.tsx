/** What the layer and the run did around a moment of death, in one row of small charts. */
import { useSignal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { formatCount } from '../../charts/numbers';
import type { Series as Curve, Domain, Insets, ScaleKind, StepDomain } from '../../charts/types';
import type { Death } from '../../data/types';
import { activations } from '../../state/activations';
import { steps } from '../../state/derived';
import { LinesFigure } from '../lines-figure';
import { records } from '../page';
import { type Strip, useStrips } from '../strips';
import { nameOr } from '../words';
import type { Causes } from './causes';
import { stepsAround, within } from './moment';

const INSETS: Insets = { left: 44, right: 10, top: 12, bottom: 22 };

export interface AroundProps {
  readonly death: Death;
  readonly causes: Causes;
}

export function Around({ death, causes }: AroundProps) {
  const { step, activation } = death;
  const all = steps.value;
  const domain = useMemo(() => stepsAround(all, step), [all, step]);
  const strips = useStrips();
  const panels = useMemo(() => panelsOf(causes, strips), [causes, strips]);
  if (domain === null) return null;
  const name = nameOr(activations.value[activation]?.label ?? '');
  const title = `Around step ${formatCount(step)}`;
  return (
    <section class="around" aria-label={title}>
      <header class="figure-head">
        <h3>{title}</h3>
        <span class="caption clip">
          when {name} lost {formatCount(death.count)} of its units
        </span>
      </header>
      <div class="around-panels">
        {panels.map((panel) => (
          <Spark key={panel.title} {...panel} step={step} domain={domain} />
        ))}
      </div>
    </section>
  );
}

interface Panel {
  readonly title: string;
  /** Whose it is, or by which name it was logged. */
  readonly of: string;
  readonly scale: ScaleKind;
  readonly curves: readonly Curve[];
}

/** Always the same four, so that one that was not recorded is missed. */
function panelsOf({ layer, update, gradient }: Causes, strips: readonly Strip[]): Panel[] {
  const strip = (id: string) => strips.find((one) => one.id === id)?.curves ?? [];
  const one = (curve: Curve | null) => (curve === null ? [] : [curve]);
  return [
    { title: 'Update norm', of: layer, scale: 'log', curves: one(update) },
    { title: 'Gradient norm', of: layer, scale: 'log', curves: one(gradient) },
    { title: 'Learning rate', of: '', scale: 'linear', curves: strip('rate') },
    { title: 'Loss', of: '', scale: 'linear', curves: strip('loss') },
  ];
}

interface SparkProps extends Panel {
  readonly step: number;
  readonly domain: Domain;
}

function Spark({ title, of, scale, curves, step, domain }: SparkProps) {
  const axis = useAxis(domain);
  const shown = useMemo(
    () => curves.map((curve) => within(curve, domain)).filter((curve) => curve !== null),
    [curves, domain],
  );
  const marks = useMemo(() => [{ step, label: '', severity: 'critical' }] as const, [step]);
  return (
    <LinesFigure
      title={title}
      caption={of === '' ? undefined : `of ${of}`}
      class="spark"
      name={nameOf({ title, of, step, recorded: shown.length > 0 })}
      series={shown}
      scale={scale}
      spikes
      steps={axis}
      records={records.value}
      marks={marks}
      insets={INSETS}
      empty="Not recorded"
    />
  );
}

/** "Update norm of fc1 around step 304", with "not recorded" where it was not. */
function nameOf(one: { title: string; of: string; step: number; recorded: boolean }): string {
  const whose = one.of === '' ? '' : ` of ${one.of}`;
  return `${one.title}${whose} around step ${formatCount(one.step)}${one.recorded ? '' : ', not recorded'}`;
}

/** An axis of its own, which a drag zooms and a double click shows whole again. */
function useAxis(domain: Domain): StepDomain {
  const extent = useSignal(domain);
  const zoom = useSignal<Domain | null>(null);
  const known = extent.peek();
  if (known[0] !== domain[0] || known[1] !== domain[1]) {
    extent.value = domain;
    zoom.value = null;
  }
  return useMemo(() => ({ extent, zoom }), [extent, zoom]);
}
