/** A menu whose button says what is chosen. */
import { Down } from './icons';
import { Menu, type MenuProps } from './menu';

export interface PickProps extends Omit<MenuProps, 'button' | 'label'> {
  /** What is chosen here: "Layout". */
  readonly name: string;
  /** What it is now. */
  readonly chosen: string;
}

export function Pick({ name, chosen, ...menu }: PickProps) {
  return (
    <Menu
      {...menu}
      label={`${name}: ${chosen}`}
      button={
        <>
          <span class="clip">{chosen}</span>
          <Down />
        </>
      }
    />
  );
}
