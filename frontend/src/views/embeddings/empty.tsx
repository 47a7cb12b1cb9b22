/** Why there is no picture, and what to do. */
import type { Embedding } from '../../data/embeddings';
import { Omissions } from '../omissions';
import { Code, Notice } from '../states';
import { nameOr, plural } from '../words';

const RECORD = `writer.watch(model, optimizer)
# The output of model.fc1:
writer.watch_embedding("penultimate", "fc1", inputs, labels)`;

const ADD = 'writer.add_tsne("penultimate", vectors, labels, step)';

const INSTALL = 'pip install "tb-netviz-plugin[embedding]"';

export function NoEmbeddings() {
  return (
    <Notice title="No embedding was recorded in this run">
      <p>
        Give the writer some inputs and the name of a module. It runs them through the model now and then, in
        eval mode and without gradients, and shows how what the module makes of them moves while it trains:
      </p>
      <Code text={RECORD} />
      <p>Vectors that you have already can be added one step at a time:</p>
      <Code text={ADD} />
      <p>PCA comes at once. t-SNE is computed beside the training; it needs</p>
      <Code text={INSTALL} />
      <p class="secondary">Points appear here by themselves while the training goes on.</p>
    </Notice>
  );
}

export function NoPositions({ embedding }: { embedding: Embedding }) {
  const points = embedding.sets.at(-1)?.points ?? 0;
  return (
    <Notice title={`No positions of ${nameOr(embedding.name)} have been recorded yet`}>
      <p>
        {points > 0
          ? `Its ${plural(points, 'point')} are described; where they are comes with the next step that is recorded.`
          : 'Its points come with the next step that is recorded.'}
      </p>
      <Omissions omissions={embedding.omissions} />
    </Notice>
  );
}
