import { useEffect, useRef } from 'preact/hooks';

/** Whether a key belongs to where the reader types. */
const isTyping = (target: Element): boolean => target.closest('input, textarea, select, dialog') !== null;

/**
 * The keys of a page, wherever the focus is but where somebody types. Those with Ctrl, Alt or Meta are the browser's.
 * @param actionOf what a key does; undefined: it is none of the page's
 * @param isElsewhere whether a key that was pressed at an element belongs to that
 */
export function useKeys(
  actionOf: (event: KeyboardEvent) => (() => void) | undefined,
  isElsewhere: (target: Element) => boolean = isTyping,
): void {
  const latest = useRef({ actionOf, isElsewhere });
  latest.current = { actionOf, isElsewhere };
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const { actionOf, isElsewhere } = latest.current;
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target instanceof Element && isElsewhere(event.target)) return;
      const done = actionOf(event);
      if (!done) return;
      event.preventDefault();
      done();
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, []);
}
