import { type ReadonlySignal, signal } from '@preact/signals';
import { queryOf, readView, type View } from './core/view.js';

/* What the page shows, kept in its URL: the one place that reads and writes the address. */

const shown = signal<View>(readView(location.search));

/** What the page shows now. */
export const view: ReadonlySignal<View> = shown;

/** What says which page it is. Whoever goes to another one leaves behind what was said of this one. */
const PLACE = ['show', 'type', 'entity', 'activity'] as const satisfies readonly (keyof View)[];

/** Browsers take so many changes of the address in a row, and then refuse (Safari: 100 in half a minute). */
const QUIET_MS = 300;

/**
 * The view after a change. One that names a page begins it anew: only how instants and colours are shown stays.
 */
function after(change: Partial<View>): View {
  const isNew = PLACE.some((name) => name in change);
  const { zone, theme } = shown.value;
  return isNew ? { zone, theme, ...change } : { ...shown.value, ...change };
}

/** The address of the view after a change, for links. */
export const hrefOf = (change: Partial<View>): string => `./${queryOf(after(change))}`;

let late: ReturnType<typeof setTimeout> | undefined;

/**
 * Shows something else.
 * @param how `push`: back leads here again; `replace`: it does not, as for each step of a slider
 */
export function go(change: Partial<View>, how: 'push' | 'replace' = 'push'): void {
  const next = after(change);
  if (how === 'push') {
    keepAddress();
    history.pushState(null, '', `./${queryOf(next)}`);
  } else {
    late ??= setTimeout(keepAddress, QUIET_MS);
  }
  shown.value = next;
}

/** Writes what is shown into the address, if that waits. */
function keepAddress(): void {
  if (late === undefined) return;
  clearTimeout(late);
  late = undefined;
  history.replaceState(null, '', `./${queryOf(shown.value)}`);
}

addEventListener('popstate', () => {
  clearTimeout(late);
  late = undefined;
  shown.value = readView(location.search);
});
addEventListener('pagehide', keepAddress);

/** Goes where a link of this page leads, without asking the service for the page again. */
export function follow(link: URL): void {
  keepAddress();
  history.pushState(null, '', link);
  shown.value = readView(link.search);
}
