/** A button that opens a panel below it. Escape, a click elsewhere and leaving by Tab close it. */
import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useMemo, useRef } from 'preact/hooks';

export interface PopoverProps {
  /** What the button is for; its name where it holds no words of its own. */
  readonly label: string;
  /** Whether the button holds words. */
  readonly worded?: boolean;
  readonly button: ComponentChildren;
  readonly class?: string;
  /** What the panel is. */
  readonly kind?: 'dialog' | 'menu' | 'listbox';
  readonly align?: 'start' | 'end';
  /** Told when it opens or closes. */
  readonly onToggle?: (open: boolean) => void;
  readonly children: (close: () => void) => ComponentChildren;
}

export function Popover(props: PopoverProps) {
  const { label, button, kind = 'dialog', align = 'start', onToggle, children } = props;
  const open = useMemo(() => signal(false), []);
  const root = useRef<HTMLSpanElement>(null);
  const trigger = useRef<HTMLButtonElement>(null);
  const id = useId();

  const set = (value: boolean, refocus = false) => {
    if (open.value !== value) onToggle?.(value);
    open.value = value;
    if (refocus) trigger.current?.focus();
  };
  const isOpen = open.value;

  useEffect(() => {
    if (!isOpen) return;
    const outside = (event: Event) => {
      if (!root.current?.contains(event.target as Node)) open.value = false;
    };
    document.addEventListener('pointerdown', outside);
    document.addEventListener('focusin', outside);
    return () => {
      document.removeEventListener('pointerdown', outside);
      document.removeEventListener('focusin', outside);
    };
  }, [isOpen, open]);

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 'Escape' || !isOpen) return;
    event.stopPropagation();
    set(false, true);
  };

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: only Escape, for the button and the panel alike.
    <span class="popover" ref={root} onKeyDown={onKeyDown}>
      <button
        type="button"
        ref={trigger}
        class={props.class ?? 'control'}
        aria-label={props.worded ? undefined : label}
        title={label}
        aria-haspopup={kind}
        aria-expanded={isOpen}
        aria-controls={isOpen ? id : undefined}
        onClick={() => set(!isOpen)}
      >
        {button}
      </button>
      {isOpen && (
        <div id={id} class={`popover-panel ${align}`}>
          {children(() => set(false, true))}
        </div>
      )}
    </span>
  );
}
