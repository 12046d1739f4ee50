import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { ActivitiesPage } from './collection/activities.js';
import { ActivityPage } from './collection/activity.js';
import { CollectionPage } from './collection/collection.js';
import type { View, Zone } from './core/view.js';
import { Dialog } from './dialog.js';
import { EntityPage } from './entity/entity.js';
import { FindPage } from './find.js';
import { useKeys } from './keys.js';
import { connection } from './service.js';
import { follow, go, hrefOf, view } from './state.js';

/** The whole page: what stays at its top, and what its URL names below. */
export function App() {
  useLinks();
  useKeys(({ key }) => (key === '?' ? () => (isHelping.value = true) : undefined));
  const { theme } = view.value;
  useEffect(() => {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
  }, [theme]);
  return (
    <>
      <a class="skip" href="#main">
        To the content
      </a>
      <Header />
      {connection.value === 'lost' && (
        <p class="banner lost" role="alert">
          The service does not answer. This page asks until it does; what is shown may be out of date.
        </p>
      )}
      <Main />
      {isHelping.value && <Help />}
    </>
  );
}

function Main() {
  const place = placeOf(view.value);
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  useEffect(() => {
    document.title = `${place.title} · clocktick`;
    // Who reads by ear is told that there is another page; a page that has just been opened begins at its top.
    if (!first.current) main.current?.focus();
    first.current = false;
  }, [place.title]);
  return (
    <main id="main" ref={main} tabIndex={-1}>
      {place.page}
    </main>
  );
}

function placeOf({ activity, entity, show, type }: View) {
  // A search names the type or the entity that it is about.
  if (show === 'activities') return { title: 'Activities', page: <ActivitiesPage /> };
  if (activity !== undefined) return { title: 'Activity', page: <ActivityPage key={activity} id={activity} /> };
  if (entity !== undefined) return { title: entity, page: <EntityPage key={entity} entity={entity} /> };
  if (type !== undefined) return { title: type, page: <CollectionPage key={type} type={type} /> };
  return { title: 'Find', page: <FindPage /> };
}

function Header() {
  const { zone, theme } = view.value;
  return (
    <header class="top">
      <a class="brand" href={hrefOf({ type: undefined })}>
        clocktick
      </a>
      <nav aria-label="Pages">
        <a href={hrefOf({ type: undefined })}>Types</a>
        <a href={hrefOf({ show: 'activities' })}>Activities</a>
        <a href="../docs/guide/">Guides</a>
        <a href="../docs/">API</a>
      </nav>
      <search class="jump">
        <form
          onSubmit={(event) => {
            event.preventDefault();
            const entity = new FormData(event.currentTarget).get('entity');
            if (typeof entity === 'string' && entity.trim() !== '') go({ entity: entity.trim() });
          }}
        >
          <input
            name="entity"
            aria-label="Entity: type:key or UUID"
            placeholder="type:key or UUID"
            autocomplete="off"
          />
          <button type="submit">Open</button>
        </form>
      </search>
      <label>
        <span class="unseen">Instants in</span>
        <select
          value={zone ?? 'utc'}
          onChange={({ currentTarget: { value } }) => go({ zone: zoneOf(value) }, 'replace')}
        >
          <option value="utc">UTC</option>
          <option value="local">local time</option>
          <option value="relative">relative</option>
        </select>
      </label>
      <label>
        <span class="unseen">Colours</span>
        <select
          value={theme ?? ''}
          onChange={({ currentTarget: { value } }) => go({ theme: themeOf(value) }, 'replace')}
        >
          <option value="">as the system</option>
          <option value="light">light</option>
          <option value="dark">dark</option>
        </select>
      </label>
      <button type="button" class="quiet" aria-label="Keys" onClick={() => (isHelping.value = true)}>
        ?
      </button>
    </header>
  );
}

const zoneOf = (text: string): Zone | undefined => (text === 'local' || text === 'relative' ? text : undefined);
const themeOf = (text: string) => (text === 'light' || text === 'dark' ? text : undefined);

/** Links inside the page change what it shows, and nothing is loaded. */
function useLinks(): void {
  useEffect(() => {
    const onClick = (event: MouseEvent) => {
      if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
      const link = event.target instanceof Element ? event.target.closest('a[href]') : null;
      if (!(link instanceof HTMLAnchorElement) || link.target !== '' || link.hasAttribute('download')) return;
      const url = new URL(link.href);
      if (url.origin !== location.origin || url.pathname !== location.pathname || url.hash !== '') return;
      event.preventDefault();
      follow(url);
    };
    document.addEventListener('click', onClick);
    return () => document.removeEventListener('click', onClick);
  }, []);
}

const isHelping = signal(false);

const KEYS: readonly [keys: string, says: string][] = [
  ['← →', 'to the tick before, and after; of a type, to the change'],
  ['Home End', 'to the first tick or change, and to now'],
  ['Shift+← Shift+→', 'moves the timeline of an entity'],
  ['+ −', 'zooms it in and out'],
  ['b', 'puts the second marker here, to compare with'],
  ['o', 'of an entity, shows only what differs'],
  ['u', 'undo: an entity goes back to what is shown, or an activity is undone'],
  ['/', 'to the filter'],
  ['?', 'this list'],
];

const Help = () => (
  <Dialog title="Keys" close={() => (isHelping.value = false)}>
    <dl class="keys">
      {KEYS.map(([keys, says]) => (
        <>
          <dt>
            {keys.split(' ').map((key) => (
              <kbd>{key}</kbd>
            ))}
          </dt>
          <dd>{says}</dd>
        </>
      ))}
    </dl>
    <p>
      <a href="../docs/guide/page">What the page shows, and its words</a>
    </p>
  </Dialog>
);
