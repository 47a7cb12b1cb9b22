/** What recording costs, and behind it how the run was recorded and what was left out. */
import { formatCount } from '../charts/numbers';
import type { Run } from '../data/types';
import { run } from '../state/store';
import { Omissions } from './omissions';
import { Popover } from './popover';
import { Spent } from './spent';
import { formatCost, plural } from './words';

export function AboutRun() {
  const value = run.value.value;
  if (value === null) return null;
  return (
    <Popover
      label="How this run was recorded"
      worded
      class="quiet cost"
      align="end"
      button={<Summary run={value} />}
    >
      {() => <Details run={value} />}
    </Popover>
  );
}

function Summary({ run: { cost, sampling } }: { run: Run }) {
  if (sampling.evicted) return <span class="warning">TensorBoard kept a sample of the records</span>;
  if (cost === null) return <span>About this run</span>;
  return (
    <span>
      Recording took {formatCost(cost.fraction)} of training time
      {cost.dropped > 0 && <span class="warning"> · {plural(cost.dropped, 'record')} lost</span>}
    </span>
  );
}

function Details({ run }: { run: Run }) {
  const { cost, sampling, models, omissions } = run;
  return (
    <div class="sheet wide">
      <h2>How this run was recorded</h2>
      <dl>
        {models.map(({ name, framework, writer }) => (
          <Row key={name} term={name === '' ? 'Written by' : name} text={`${writer}, ${framework}`} />
        ))}
        <Row
          term="Network"
          text={`${plural(run.layers.length, 'layer')}, ${plural(run.parameters.length, 'parameter')}`}
        />
        <Row term="Records" text={records(sampling)} />
        {cost !== null && (
          <>
            <Row term="Cost" text={`${formatCost(cost.fraction)} of training time${allowed(models)}`} />
            <Row
              term="Observed now"
              text={cost.interval <= 1 ? 'every step' : `every ${plural(cost.interval, 'step')}`}
            />
            <Row
              term="Lost"
              text={
                cost.dropped > 0
                  ? `${plural(cost.dropped, 'record')}: they could not be written as fast as training went`
                  : 'no record'
              }
            />
          </>
        )}
      </dl>
      {cost !== null && <Spent models={models} />}
      {sampling.evicted && (
        <p class="warning">
          TensorBoard kept only a random sample of the records. Start it with{' '}
          <code>--samples_per_plugin netviz=2000</code> to see them all.
        </p>
      )}
      <Omissions omissions={omissions} />
    </div>
  );
}

function Row({ term, text }: { term: string; text: string }) {
  return (
    <>
      <dt>{term}</dt>
      <dd>{text}</dd>
    </>
  );
}

/** ", of a budget of 2 %", where the models have one. */
function allowed(models: Run['models']): string {
  const budget = models.reduce((sum, { schedule }) => sum + schedule.budget, 0);
  return budget > 0 ? `, of a budget of ${formatCost(budget)}` : '';
}

function records({ records, first_step, last_step }: Run['sampling']): string {
  const range =
    first_step === null || last_step === null
      ? ''
      : `, steps ${formatCount(first_step)} to ${formatCount(last_step)}`;
  return `${formatCount(records)}${range}`;
}
