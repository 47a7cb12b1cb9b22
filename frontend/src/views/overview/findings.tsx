/** What is wrong, the worst first, and what was checked. */
import { findingList, findings, report } from '../../state/findings';
import { DataNotice } from '../data-notice';
import { Checks, NothingWrong } from './checks';
import { FindingItem } from './finding';
import { Thresholds } from './thresholds';
import { Versus } from './versus';
import { tally } from './words';

export function Findings() {
  const { error, loading } = findings.value;
  const known = report.value;
  const list = findingList.value;
  return (
    <section class="findings" aria-label="Findings" aria-busy={loading}>
      <header class="panel-head">
        <h2>Findings</h2>
        <span class="muted clip">{tally(list)}</span>
        <span class="space" />
        <Thresholds />
      </header>
      <div class="findings-body">
        <DataNotice error={error} />
        {known === null && loading && <p class="looking muted">Checking the run…</p>}
        {known !== null && list.every(({ severity }) => severity === 'info') && (
          <NothingWrong report={known} />
        )}
        <ul>
          {list.map((finding) => (
            <FindingItem key={finding.id} finding={finding} consequences={finding.consequences} />
          ))}
        </ul>
        {known !== null && <Checks report={known} />}
        <Versus />
      </div>
    </section>
  );
}
