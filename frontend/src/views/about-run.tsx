/** What recording costs, and behind it how the run was recorded and what was left out. */
import { formatCount } from '../charts/numbers';
import type { Run } from '../data/types';
import { run } from '../state/store';
import { Popover } from './popover';
import { plural } from './words';

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

function Summary({ run }: { run: Run }) {
  if (run.sampling.evicted) return <span class="warning">TensorBoard kept a sample of the records</span>;
  if (run.cost === null) return <span>About this run</span>;
  return <span>Recording costs {formatCost(run.cost.fraction)} of training time</span>;
}

/** "0.8 %", "12 %", "less than 0.1 %". */
export function formatCost(fraction: number): string {
  const percent = 100 * fraction;
  if (percent < 0.1) return 'less than 0.1 %';
  return `${percent.toFixed(percent < 10 ? 1 : 0)} %`;
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
          <Row term="Every" text={cost.interval <= 1 ? 'step' : plural(cost.interval, 'step')} />
        )}
        {cost !== null && <Row term="Cost" text={`${formatCost(cost.fraction)} of training time`} />}
        {cost !== null && cost.dropped > 0 && (
          <Row term="Lost" text={`${plural(cost.dropped, 'record')}: the disk was slower than training`} />
        )}
      </dl>
      {sampling.evicted && (
        <p class="warning">
          TensorBoard kept only a random sample of the records. Start it with{' '}
          <code>--samples_per_plugin netviz=2000</code> to see them all.
        </p>
      )}
      {omissions.length > 0 && (
        <>
          <h3>Left out</h3>
          <ul>
            {omissions.map(({ subject, reason }) => (
              <li key={subject}>
                <b>{subject}</b>: {reason}
              </li>
            ))}
          </ul>
        </>
      )}
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

function records({ records, first_step, last_step }: Run['sampling']): string {
  const range =
    first_step === null || last_step === null
      ? ''
      : `, steps ${formatCount(first_step)} to ${formatCount(last_step)}`;
  return `${formatCount(records)}${range}`;
}
