/** What the maps are compared with: another step of the run, or another run. */
import { formatCount } from '../../charts/numbers';
import type { Probe } from '../../data/maps';
import { against, otherProbe, otherProbes, otherSide, probeStep } from '../../state/maps';
import { matchingSource, sourceKey } from '../../state/maps-sources';
import type { Side } from '../../state/maps-wanted';
import * as selection from '../../state/selection';
import { runs } from '../../state/store';
import { Down, Left, Right } from '../icons';
import { Menu, type MenuItem } from '../menu';

export function Compare({ probe }: { probe: Probe }) {
  const other = against.value;
  const set = (value: string | null) => () => {
    selection.against.value = value;
  };
  const step = probeStep.value ?? 0;
  const items: MenuItem[] = [
    { label: 'Nothing', checked: other === null, action: set(null) },
    {
      label: `Step ${formatCount(step)} of this run`,
      hint: 'keep it beside',
      checked: other !== null && 'step' in other && other.step === step,
      action: set(`step:${step}`),
    },
    ...(runs.answer.value ?? [])
      .filter(({ run }) => run !== selection.run.value)
      .map(({ run }) => ({
        label: `Run ${run}`,
        checked: other !== null && 'run' in other && other.run === run,
        action: set(`run:${run}`),
      })),
  ];
  return (
    <span class="compare">
      <Menu
        label={`Comparison: ${otherWords()}`}
        class={other === null ? 'control' : 'control pressed'}
        align="end"
        button={
          <>
            <span class="clip">{otherWords()}</span>
            <Down />
          </>
        }
        items={items}
      />
      {other !== null && 'step' in other && <OtherStep probe={probe} step={other.step} />}
    </span>
  );
}

function otherWords(): string {
  const other = against.value;
  if (other === null) return 'Compare with …';
  return 'run' in other ? `Compared with ${other.run}` : `Compared with step ${formatCount(other.step)}`;
}

/** Moves the step that is kept beside. */
function OtherStep({ probe: { steps }, step }: { probe: Probe; step: number }) {
  const at = steps.findLastIndex((one) => one <= step);
  const button = (by: number, label: string) => (
    <button
      type="button"
      class="icon-button small"
      aria-label={label}
      title={label}
      disabled={steps[at + by] === undefined}
      onClick={() => {
        selection.against.value = `step:${steps[at + by]}`;
      }}
    >
      {by < 0 ? <Left /> : <Right />}
    </button>
  );
  return (
    <>
      {button(-1, 'Compare with the maps recorded before')}
      {button(1, 'Compare with the maps recorded next')}
    </>
  );
}

/** Why the other side is not there, in words; empty where it is, or where nothing is compared. */
export function otherTrouble({ source, sample }: Side): string {
  const other = against.value;
  if (other === null || otherSide.value !== null) return '';
  const { error, loading } = otherProbes.value;
  if (loading) return '';
  const name = 'run' in other ? other.run : 'This run';
  if (error !== null) return `${name} can’t be read: ${error.message}`;
  const theirs = otherProbe.value;
  if (theirs === null) return `${name} has no activation maps.`;
  if (matchingSource(theirs.maps, source) < 0) return `${name} has no maps of ${sourceKey(source)}.`;
  if (sample >= theirs.samples) return `${name} has no input ${sample}.`;
  return `${name} has recorded no maps yet.`;
}
