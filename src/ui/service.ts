import { signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { ClocktickProblem, ClocktickUnreachable, clocktick } from '../client/client.js';

/** The service that this page came from. The page lies in its `ui/`, whatever path a proxy has put before that. */
export const service = clocktick({ baseUrl: new URL('..', document.baseURI) });

/** Whether the service answers. While it does not, the page asks until it does. */
export const connection = signal<'there' | 'lost'>('there');

/** How often is asked whether a service that was lost is there again, in milliseconds. */
const ASK_AGAIN_MS = 2_000;

/** How often every failed question has been asked again because the service came back: a change of it makes them ask. */
const returned = signal(0);

export type Failed = ClocktickProblem | ClocktickUnreachable;

/**
 * An answer of the service that has come, is coming, or was refused. While one is coming, `value` is the one before, so that what is shown
 * stays until there is something else to show. Beside a failure it is what the same question was answered before: it would be no answer to another.
 */
export type Answer<Value> =
  | { state: 'loading'; value?: Value | undefined }
  | { state: 'done'; value: Value }
  | { state: 'failed'; value?: Value | undefined; error: Failed; again: () => void };

/**
 * Asks the service, and again whenever what is asked about has changed; then the question before is given up.
 * @param about what the question depends on: texts, numbers, flags
 */
export function useAnswer<Value>(
  ask: (signal: AbortSignal) => Promise<Value>,
  about: readonly (string | number | boolean | null | undefined)[],
): Answer<Value> {
  const [turn, setTurn] = useState(0);
  const question = JSON.stringify(about);
  // `of`: the question that the value answers.
  const [known, setKnown] = useState<{ question: string; answer: Answer<Value>; of?: string | undefined }>({
    question,
    answer: { state: 'loading' },
  });
  const isLost = useRef(false);
  useEffect(() => {
    const asking = new AbortController();
    isLost.current = false;
    setKnown(({ answer: { value }, of }) => ({ question, answer: { state: 'loading', value }, of }));
    ask(asking.signal).then(
      (value) => {
        if (!asking.signal.aborted) setKnown({ question, answer: { state: 'done', value }, of: question });
      },
      (reason: unknown) => {
        if (asking.signal.aborted) return;
        const error = failureOf(reason);
        isLost.current = error instanceof ClocktickUnreachable;
        const again = () => setTurn((n) => n + 1);
        setKnown(({ answer, of }) => {
          const value = of === question ? answer.value : undefined;
          return { question, answer: { state: 'failed', value, error, again }, of };
        });
      },
    );
    return () => asking.abort();
  }, [...about, turn]);
  useEffect(() => {
    if (isLost.current) setTurn((n) => n + 1);
  }, [returned.value]);
  return known.question === question ? known.answer : { state: 'loading', value: known.answer.value };
}

/**
 * What a call threw, if it is what calls throw. If the service did not answer, that is seen, and asked until it does.
 * @throws anything else, which is a mistake of this page
 */
export function failureOf(reason: unknown): Failed {
  if (reason instanceof ClocktickUnreachable) lose();
  else if (!(reason instanceof ClocktickProblem)) throw reason;
  return reason;
}

/** Notes that the service does not answer, and asks until it does. */
function lose(): void {
  if (connection.value === 'lost') return;
  connection.value = 'lost';
  const ask = async () => {
    try {
      await service.health.ready();
    } catch (error) {
      if (!(error instanceof ClocktickProblem) || error.status === 503) {
        setTimeout(ask, ASK_AGAIN_MS);
        return;
      }
    }
    connection.value = 'there';
    returned.value++;
  };
  setTimeout(ask, ASK_AGAIN_MS);
}
