/** Keys and definitions. */

import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { catalogue } from '../state/store';
import { Definition } from './explain';
import { Close, Help as HelpIcon } from './icons';
import { KEYS } from './keys';

export const helpOpen = signal(false);

export function HelpButton() {
  return (
    <button
      type="button"
      class="icon-button"
      aria-label="Help"
      title="Help (?)"
      aria-haspopup="dialog"
      onClick={() => {
        helpOpen.value = true;
      }}
    >
      <HelpIcon />
    </button>
  );
}

export function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  const open = helpOpen.value;
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  const close = () => {
    helpOpen.value = false;
  };
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: a click beside the dialog closes it; Escape does too, by the browser.
    <dialog
      ref={dialog}
      class="help"
      aria-labelledby="netviz-help"
      onClose={close}
      onClick={(event) => {
        if (event.target === dialog.current) close();
      }}
    >
      {open && (
        <div class="help-body">
          <header>
            <h2 id="netviz-help">Help</h2>
            <button type="button" class="icon-button" aria-label="Close help" onClick={close}>
              <Close />
            </button>
          </header>
          <div class="help-columns">
            <section aria-label="Keys">
              <h3>Keys</h3>
              <dl class="keys">
                {KEYS.map(({ keys, words }) => (
                  <div key={words}>
                    <dt>
                      {keys.map((key) => (
                        <kbd key={key}>{key}</kbd>
                      ))}
                    </dt>
                    <dd>{words}</dd>
                  </div>
                ))}
              </dl>
              <h3>Pointer</h3>
              <p>
                Click a cell for its layer and step. Drag sideways to zoom the steps of all charts, Shift-drag
                to pan, double click to see all again.
              </p>
              <h3>Marks</h3>
              <p>
                A dot on paper is exactly zero. Vermilion with a stroke is NaN or infinite. Hatched was not
                recorded. A cross at the axis is a step that the loss scaler skipped. A record of several
                steps shows their mean; its band is the lowest and the highest.
              </p>
            </section>
            <section aria-label="Statistics">
              {catalogue.value.value?.statistics.map((info) => (
                <Definition key={info.id} info={info} />
              ))}
              <p class="muted">netviz {catalogue.value.value?.version}</p>
            </section>
          </div>
        </div>
      )}
    </dialog>
  );
}
