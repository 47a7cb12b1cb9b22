/** A run that holds no gradients: why, what to do, and the metrics that it has. */
import type { Insets } from '../../charts/types';
import type { Run } from '../../data/types';
import { run } from '../../state/store';
import { Code, Notice } from '../states';
import { Strips, useStrips } from '../strips';
import { plural } from '../words';

const INSETS: Insets = { left: 132, right: 132, top: 0, bottom: 0 };

export function Unrecorded() {
  const strips = useStrips().filter(({ curves }) => curves.some(({ steps }) => steps.length > 0));
  return (
    <div class="unrecorded">
      {run.value.value !== null && <Why run={run.value.value} />}
      <Strips strips={strips} insets={INSETS} />
    </div>
  );
}

function Why({ run: { models, layers } }: { run: Run }) {
  if (layers.length > 0)
    return (
      <Notice title="No step has been recorded yet">
        <p>
          The network of {plural(layers.length, 'layer')} is known. Its first record appears here by itself,
          after the optimizer’s first step.
        </p>
        <p>
          If training is on already, see whether the optimizer that steps is the one that was passed here:
        </p>
        <Code text="writer.watch(model, optimizer)" />
      </Notice>
    );
  return (
    <Notice title={models.length > 0 ? 'This network has no parameters' : 'This run has metrics only'}>
      <p>
        {models.length > 0
          ? 'The model that was passed has nothing to train, so there is no gradient to show. Pass the one that holds the parameters:'
          : 'No network was attached to its writer, so there is no gradient to show. Attach it before training:'}
      </p>
      <Code text="writer.watch(model, optimizer)" />
    </Notice>
  );
}
