/** A button that leads to what stands before or after. */
import { Left, Right } from './icons';

export interface NeighbourProps {
  /** Negative for what stands before. */
  readonly by: number;
  readonly label: string;
  /** What is said under the pointer; by default the label. */
  readonly title?: string;
  readonly small?: boolean;
  readonly disabled: boolean;
  readonly onMove: () => void;
}

export function Neighbour({ by, label, title = label, small = false, disabled, onMove }: NeighbourProps) {
  return (
    <button
      type="button"
      class={small ? 'icon-button small' : 'icon-button'}
      aria-label={label}
      title={title}
      disabled={disabled}
      onClick={onMove}
    >
      {by < 0 ? <Left /> : <Right />}
    </button>
  );
}
