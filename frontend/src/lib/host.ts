/** The page around us: TensorBoard's address bar, theme and frame. Each access to the parent may be refused. */

/** The parent window, or our own where there is none or it is out of reach. */
function host(): Window {
  try {
    void window.parent.location.hash;
    void window.parent.document.body;
    return window.parent;
  } catch {
    return window;
  }
}

export function readHash(): string {
  return host().location.hash;
}

/** Replace the address without a step in the history and without waking TensorBoard's own router. */
export function replaceHash(hash: string): void {
  const page = host();
  if (page.location.hash === hash) return;
  const { pathname, search } = page.location;
  page.history.replaceState(page.history.state, '', `${pathname}${search}${hash}`);
}

/** Call `listener` when someone else moves through the history or edits the address. */
export function onHashChange(listener: () => void): void {
  const page = host();
  page.addEventListener('popstate', listener);
  page.addEventListener('hashchange', listener);
  window.addEventListener('pagehide', () => {
    page.removeEventListener('popstate', listener);
    page.removeEventListener('hashchange', listener);
  });
}

/** Call `listener` with TensorBoard's theme, now and on every change. */
export function watchTheme(listener: (dark: boolean) => void): void {
  const body = host().document.body;
  const tell = () => listener(body.classList.contains('dark-mode'));
  tell();
  const observer = new MutationObserver(tell);
  observer.observe(body, { attributes: true, attributeFilter: ['class'] });
  window.addEventListener('pagehide', () => observer.disconnect());
}

/**
 * Call `listener` when the tab is shown or hidden. TensorBoard hides a tab by giving its frame no height,
 * while `document.visibilityState` stays "visible".
 */
export function watchVisibility(listener: (visible: boolean) => void): void {
  let visible: boolean | null = null;
  const tell = () => {
    const now = document.visibilityState === 'visible' && window.innerHeight > 0;
    if (now !== visible) listener(now);
    visible = now;
  };
  new ResizeObserver(tell).observe(document.documentElement);
  window.addEventListener('resize', tell);
  document.addEventListener('visibilitychange', tell);
  tell();
}

/** Call `listener` when the reader presses TensorBoard's reload button. */
export function onReload(listener: () => void): void {
  if (window.parent === window) return;
  const channel = new MessageChannel();
  channel.port1.onmessage = (event: MessageEvent<string>) => {
    const message = JSON.parse(event.data) as { type: string; id: number; isReply: boolean };
    if (message.isReply) return;
    const reply = { type: message.type, id: message.id, payload: null, error: null, isReply: true };
    channel.port1.postMessage(JSON.stringify(reply));
    if (message.type === 'experimental.DataReloaded') listener();
  };
  window.parent.postMessage('experimental.bootstrap', '*', [channel.port2]);
}

/** What a document needs for readers of the screen, and TensorBoard's frame leaves out. */
export function nameDocument(title: string): void {
  document.documentElement.lang = 'en';
  document.title = title;
  const frame = window.frameElement;
  if (frame !== null) frame.setAttribute('title', title);
}
