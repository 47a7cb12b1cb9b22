/** A menu of actions: arrow keys move, Enter chooses. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { Popover } from './popover';

export interface MenuItem {
  readonly label: string;
  readonly hint?: string;
  /** For a choice among several. */
  readonly checked?: boolean;
  readonly action: () => void;
}

export interface MenuProps {
  readonly label: string;
  readonly button: ComponentChildren;
  readonly class?: string;
  readonly align?: 'start' | 'end';
  readonly items: readonly MenuItem[];
}

export function Menu({ label, button, align, items, ...rest }: MenuProps) {
  return (
    <Popover
      label={label}
      button={button}
      kind="menu"
      {...(align ? { align } : {})}
      {...(rest.class ? { class: rest.class } : {})}
    >
      {(close) => <Items items={items} label={label} close={close} />}
    </Popover>
  );
}

function Items({ items, label, close }: { items: readonly MenuItem[]; label: string; close: () => void }) {
  const list = useRef<HTMLDivElement>(null);
  const buttons = () => [...(list.current?.querySelectorAll('button') ?? [])];
  useEffect(() => {
    const all = [...(list.current?.querySelectorAll('button') ?? [])];
    (all.find((button) => button.getAttribute('aria-checked') === 'true') ?? all[0])?.focus();
  }, []);

  const onKeyDown = (event: KeyboardEvent) => {
    const all = buttons();
    const at = all.indexOf(document.activeElement as HTMLButtonElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    all[(to + all.length) % all.length]?.focus();
  };

  return (
    <div role="menu" aria-label={label} class="menu" ref={list} tabIndex={-1} onKeyDown={onKeyDown}>
      {items.map((item) => (
        <button
          key={item.label}
          type="button"
          {...roleOf(item)}
          onClick={() => {
            close();
            item.action();
          }}
        >
          <span>{item.label}</span>
          {item.hint !== undefined && <span class="hint">{item.hint}</span>}
        </button>
      ))}
    </div>
  );
}

function roleOf({ checked }: MenuItem) {
  return checked === undefined
    ? ({ role: 'menuitem' } as const)
    : ({ role: 'menuitemradio', 'aria-checked': checked } as const);
}
