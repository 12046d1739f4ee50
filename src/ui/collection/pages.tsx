import { useEffect, useRef, useState } from 'preact/hooks';
import { Failure } from '../problem.js';
import { type Answer, type Failed, failureOf, useAnswer } from '../service.js';

/** A page of a walk: what a call of one answers, at least. */
type Page = { items: readonly unknown[]; next: string | null };

type Walk<P extends Page> = {
  /** The first page: how it stands with it, and what the others have of it. */
  first: Answer<P>;
  /** All items that have come. */
  items: readonly P['items'][number][];
  /** Reads the next page; undefined: there is none. */
  more: (() => void) | undefined;
  isReading: boolean;
  failed: Failed | undefined;
};

/**
 * Reads a list page by page, one when asked for. All pages after the first are of its walk, so they show the same moment.
 * @param ask asks for a page: the first, or the one of a cursor
 * @param about what the walk depends on: when that changes, it begins anew
 */
export function useWalk<P extends Page>(
  ask: (cursor: string | undefined, signal: AbortSignal) => Promise<P>,
  about: readonly (string | number | boolean | null | undefined)[],
): Walk<P> {
  const first = useAnswer((signal) => ask(undefined, signal), about);
  const begun = first.state === 'done' ? first.value : undefined;
  const [further, setFurther] = useState<{ of: P; pages: P[] } | null>(null);
  const [reading, setReading] = useState<AbortController | null>(null);
  const [failed, setFailed] = useState<Failed | undefined>();
  const asking = useRef<AbortController | null>(null);
  useEffect(
    () => () => {
      asking.current?.abort();
      asking.current = null;
      setReading(null);
      setFailed(undefined);
    },
    about,
  );
  const shown = begun ?? first.value;
  const pages = further && further.of === shown ? further.pages : [];
  const next = (pages.at(-1) ?? shown)?.next ?? null;
  const more = async () => {
    if (begun === undefined || next === null || asking.current) return;
    const controller = new AbortController();
    asking.current = controller;
    setReading(controller);
    setFailed(undefined);
    try {
      const page = await ask(next, controller.signal);
      if (!controller.signal.aborted) setFurther({ of: begun, pages: [...pages, page] });
    } catch (thrown) {
      if (!controller.signal.aborted) setFailed(failureOf(thrown));
    } finally {
      if (asking.current === controller) {
        asking.current = null;
        setReading(null);
      }
    }
  };
  return {
    first,
    items: shown ? [...shown.items, ...pages.flatMap(({ items }) => items)] : [],
    more: begun !== undefined && next !== null ? () => void more() : undefined,
    isReading: reading !== null,
    failed,
  };
}

/** How much of a list is shown, and the button that reads more of it. */
export function More({
  walk,
  what,
}: {
  walk: Pick<Walk<Page>, 'items' | 'more' | 'isReading' | 'failed'>;
  what: string;
}) {
  return (
    <>
      {walk.failed && <Failure error={walk.failed} again={walk.more} />}
      <p class="more">
        <span role="status">
          {walk.items.length.toLocaleString('en')} {what}
          {walk.more ? ', and there are more. ' : '.'}
        </span>
        {walk.more && (
          <button type="button" disabled={walk.isReading} onClick={walk.more}>
            {walk.isReading ? 'Loading …' : 'Load more'}
          </button>
        )}
      </p>
    </>
  );
}
