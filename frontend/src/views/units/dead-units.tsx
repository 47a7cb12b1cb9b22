/** Which units are dead, since when, and after what. */
import { computed, useComputed } from '@preact/signals';
import { formatCount } from '../../charts/numbers';
import type { Insets } from '../../charts/types';
import type { DeadSeries, Death } from '../../data/types';
import { UNIT } from '../../lib/units';
import {
  aboutDead,
  aboutDeaths,
  aboutRedundant,
  activationIndex,
  activations,
} from '../../state/activations';
import * as selection from '../../state/selection';
import { aboutSeries, catalogue, run } from '../../state/store';
import { Choice } from '../choice';
import { DataNotice } from '../data-notice';
import { SkipNote } from '../skip-note';
import { Notice } from '../states';
import { Strips, useStrips } from '../strips';
import { UnitCurves } from '../unit-curves';
import { useFollow } from '../use-follow';
import { useFirst, useLast } from '../use-last';
import { ZoomButton } from '../zoom-button';
import { Around } from './around';
import { useCauses } from './causes';
import { totalsOf } from './counts';
import { Deaths } from './deaths';
import { Listing } from './listing';
import { Lives, sort } from './lives';
import { useMoment } from './moment';
import { useOpening } from './opening';
import { useUnits } from './pages';
import { Shares } from './shares';
import { useStateStrip } from './state-strip';
import { Thresholds } from './thresholds';
import { Verdict } from './verdict';

const INSETS: Insets = { left: 132, right: 132, top: 22, bottom: 0 };
const LIVES: Insets = { ...INSETS, top: 4 };
const ZEROS = 'activation_zero_fraction';
const NO_DEATHS: readonly Death[] = [];

export function DeadUnits() {
  const dead = useFollow(aboutDead);
  const deaths = useFollow(aboutDeaths);
  useOpening(dead, deaths);
  const { error } = dead.value;
  // Other thresholds are another question; until it is answered the page stays.
  const value = useLast(dead.value.value, selection.run.value);
  const moments = useLast(deaths.value.value, selection.run.value);
  return (
    <div class="dead-units">
      <h2 class="visually-hidden">Dead units</h2>
      <DataNotice error={error} />
      {value === null && error === null && <div class="waiting" />}
      {value !== null && value.steps.length === 0 && (canDie.value ? <NoRecord /> : <NothingToJudge />)}
      {value !== null && value.steps.length > 0 && (
        <Page dead={value} deaths={moments ?? NO_DEATHS} deathsError={deaths.value.error} />
      )}
    </div>
  );
}

function NoRecord() {
  return (
    <Notice title="No units have been recorded yet">
      <p>Units are recorded in windows of several steps. The first one appears here by itself.</p>
    </Notice>
  );
}

/** Whether any unit of the run can be anything but alive. */
const canDie = computed(() => activations.value.some(({ response, units }) => response !== '' && units > 0));

function NothingToJudge() {
  return (
    <Notice title="No unit of this network can die">
      <p>
        A unit is dead, sparse or saturated behind a function that has a floor or flat ends, such as ReLU,
        GELU or tanh. Nothing of that kind was seen in this network.
      </p>
      <p>What could not be seen is listed at the top right. What its layers put out is in Activations.</p>
    </Notice>
  );
}

interface PageProps {
  readonly dead: DeadSeries;
  readonly deaths: readonly Death[];
  readonly deathsError: Parameters<typeof Deaths>[0]['error'];
}

function Page({ dead, deaths, deathsError }: PageProps) {
  const shown = useComputed(() => {
    const index = activationIndex.value;
    return index !== null && (activations.value[index]?.units ?? 0) > 0 ? index : null;
  });
  const units = useUnits(shown, sort);
  const redundancy = useFollow(aboutRedundant).value;
  const zeros = useFollow(() =>
    run.value.value?.statistics.includes(ZEROS)
      ? aboutSeries({ statistic: ZEROS, rows: 'activations' })
      : null,
  ).value.value;
  const index = shown.value;
  const moment = useMoment(deaths);
  const causes = useCauses();
  const place = index === null ? -1 : dead.activations.indexOf(index);
  const about = activations.value[index ?? -1];
  // The first row may become another unit's while a run goes on; the unit that is shown stays.
  const first = useFirst(units.life(0)?.unit ?? null, `${selection.run.value} ${index} ${sort.value}`);
  const unit = selection.unit.value ?? first;
  const strip = useStateStrip(dead, place);
  const loss = useStrips().filter(({ id }) => id === 'loss');
  return (
    <>
      <Verdict dead={dead} deaths={deaths} activations={activations.value} index={index} zeros={zeros} />
      <section
        class="units-stage"
        aria-label="Units over steps"
        style={{ '--rows': dead.activations.length }}
      >
        <div class="toolbar">
          <States dead={dead} />
          {selection.zoom.value !== null && <ZoomButton />}
          <SkipNote />
          <span class="space" />
          <Thresholds />
        </div>
        <Shares dead={dead} insets={INSETS} />
        {about !== undefined && place >= 0 ? (
          <Lives
            dead={dead}
            about={about}
            place={place}
            units={units}
            unit={unit}
            redundancy={redundancy.value}
            insets={LIVES}
          />
        ) : (
          <p class="muted">Choose a row in the picture above, with the pointer or with ↑ and ↓.</p>
        )}
        <Strips strips={[...(strip === null ? [] : [strip]), ...loss]} insets={INSETS} />
      </section>
      <Deaths dead={dead} deaths={deaths} error={deathsError} moment={moment} causes={causes} />
      <div class="units-detail">
        {moment !== null && <Around death={moment} causes={causes} />}
        {index !== null && unit !== null && <UnitCurves activation={index} unit={unit} />}
        <Listing dead={dead} redundancy={redundancy} />
      </div>
    </>
  );
}

/** Which state is counted in the picture, with how many units are in it now. */
function States({ dead }: { dead: DeadSeries }) {
  const states = catalogue.value.value?.unit_states ?? [];
  const options = states.flatMap(({ id, label }, code) =>
    code === UNIT.neverRun || code === UNIT.notRecorded
      ? []
      : [{ id, label, count: formatCount(totalsOf(dead, code).count), code }],
  );
  const place = (code: number) => (COMMON.includes(code) ? COMMON.indexOf(code) : COMMON.length);
  options.sort((a, b) => place(a.code) - place(b.code));
  const common = options.filter(({ code }) => COMMON.includes(code)).map(({ id }) => id);
  return (
    <Choice
      label="State"
      more="More states"
      options={options}
      common={common}
      chosen={selection.unitState.value}
      onChoose={(id) => {
        selection.unitState.value = id;
      }}
    />
  );
}

/** Codes of the states that stand side by side. */
const COMMON: readonly number[] = [UNIT.dead, UNIT.sparse, UNIT.saturated, UNIT.alive];
