/** Why there are no maps, and what to do. */
import type { Probe } from '../../data/maps';
import { recordedStatistics } from '../../state/derived';
import { Omissions } from '../omissions';
import { Code, Notice } from '../states';
import { plural } from '../words';
import { LEFT_OUT } from './about-probe';

const RECORD = `writer.watch(model, optimizer)
writer.watch_activation_maps(inputs)  # a few inputs, such as batch[:8]`;

const STATISTICS =
  'Statistics of what the layers put out were not recorded either: they come with writer.watch(model, optimizer), unless activations=False.';

export function NoProbes() {
  return (
    <Notice title="No activation maps were recorded in this run">
      <p>
        Give the writer a few inputs. It runs them through the model now and then, in eval mode and without
        gradients, and keeps what the convolutions, the attention and the recurrent layers make of them:
      </p>
      <Code text={RECORD} />
      <p class="secondary">Maps appear here by themselves while the training goes on.</p>
      {recordedStatistics('activations').length === 0 && <p class="secondary">{STATISTICS}</p>}
    </Notice>
  );
}

export function NoMaps({ probe }: { probe: Probe }) {
  return (
    <Notice title="This probe keeps no maps">
      <p>
        The model has no convolution, attention or recurrent layer whose maps could be kept. Name the modules
        to look at:
      </p>
      <Code text="writer.watch_activation_maps(inputs, modules=[…])" />
      <Omissions omissions={probe.omissions} title={LEFT_OUT} />
    </Notice>
  );
}

export function NoSteps({ probe }: { probe: Probe }) {
  return (
    <Notice title="No maps have been recorded yet">
      <p>
        The probe of {plural(probe.samples, 'input')} is there; its maps come with the next step that is
        recorded.
      </p>
      <Omissions omissions={probe.omissions} title={LEFT_OUT} />
    </Notice>
  );
}
