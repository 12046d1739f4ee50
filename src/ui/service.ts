import { signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { ClocktickProblem, ClocktickUnreachable, clocktick } from '../client/client.js';

/** The service that this page came from. The page lies in its `ui/`, whatever path a proxy has put before that. */
export const service = clocktick({ baseUrl: new URL('..', document.baseURI) });

/** Whether the service answers. While it does not, the page asks until it does. */
export const connection = signal<'there' | 'lost'>('there');

/** How often is asked whether a service that was lost is there again, in milliseconds. */
const ASK_AGAIN_MS = 2_000;

/** How long an answer to that may take: a connection that has died without a word never answers. */
const ANSWERS_MS = 10_000;

/** How often the service came back: what failed because it was lost is asked again. */
const returned = signal(0);

/** What calls throw: a refusal, no answer, or that there is no such call, as of an entity named `..`. */
export type Failed = ClocktickProblem | ClocktickUnreachable | RangeError;

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
  const [known, setKnown] = useState<Known<Value>>({ question: null, answer: { state: 'loading' } });
  const isLost = useRef(false);
  const question = JSON.stringify(about.map((part) => (part === undefined ? [] : part)));
  useEffect(() => {
    const asking = new AbortController();
    isLost.current = false;
    setKnown((before) => ({ ...before, answer: { state: 'loading', value: before.answer.value } }));
    ask(asking.signal).then(
      (value) => {
        if (!asking.signal.aborted) setKnown({ question, answer: { state: 'done', value } });
      },
      (reason: unknown) => {
        if (asking.signal.aborted) return;
        const error = failureOf(reason);
        isLost.current = error instanceof ClocktickUnreachable;
        const again = () => setTurn((n) => n + 1);
        setKnown((before) => {
          const value = before.question === question ? before.answer.value : undefined;
          return { question, answer: { state: 'failed', value, error, again } };
        });
      },
    );
    return () => asking.abort();
  }, [question, turn]);
  useEffect(() => {
    if (isLost.current) setTurn((n) => n + 1);
  }, [returned.value]);
  // Until it is asked, what is there answers the question before.
  return known.question === question ? known.answer : { state: 'loading', value: known.answer.value };
}

/** What is known, and which question that answers; null: none yet. While an answer is coming, it is the one that the value answers. */
type Known<Value> = { question: string | null; answer: Answer<Value> };

/**
 * What a call threw, if it is what calls throw. If the service did not answer, that is seen, and asked until it does.
 * @throws anything else, which is a mistake of this page
 */
export function failureOf(reason: unknown): Failed {
  if (reason instanceof ClocktickUnreachable) lose();
  else if (!(reason instanceof ClocktickProblem || reason instanceof RangeError)) throw reason;
  return reason;
}

/** Notes that the service does not answer, and asks until it does. */
function lose(): void {
  if (connection.value === 'lost') return;
  connection.value = 'lost';
  const ask = async () => {
    try {
      await service.health.ready({ signal: AbortSignal.timeout(ANSWERS_MS) });
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
