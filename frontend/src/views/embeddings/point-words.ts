/** A point in words. */
import { formatCount } from '../../charts/numbers';
import type { Scene } from '../../state/embeddings';
import { labelWords, predictionWords } from '../../state/embeddings-groups';

/** "point 12, dog, predicted as cat" */
export function pointWords(scene: Scene, point: number): string {
  const label = labelWords(scene, point);
  const predicted = predictionWords(scene, point);
  return [`point ${formatCount(point)}`, label, predicted && `predicted as ${predicted}`]
    .filter((part) => part !== '')
    .join(', ');
}
