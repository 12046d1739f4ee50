import { useEffect, useRef, useState } from 'preact/hooks';
import { isBefore } from '../../temporal/point.js';
import { formatInstant } from '../core/instants.js';
import { faultOf } from '../faults.js';
import { Instant } from '../instant.js';
import { InstantField } from '../instant-field.js';
import { useKeys } from '../keys.js';
import { Failure } from '../problem.js';
import { type Failed, failureOf, service, useAnswer } from '../service.js';
import { go, hrefOf, view } from '../state.js';
import { changeAfter, changeBefore, evenly, firstChange, instantAt, shareOf } from './changes.js';
import { newestChange } from './newest.js';

/** The parameters of calls that the field of the moment is about. */
export const MOMENT_FIELDS = ['asOf', 'at'];

/** Between which instants a type has changed; null: it has no entities. */
export type Span = { first: string; last: string } | null;

/** The first change of a type, and the newest. */
export async function spanOf(type: string, signal: AbortSignal): Promise<Span> {
  const page = await service.entities.list({ type, deleted: 'include', limit: 1 }, { signal }).page();
  const [entity] = page.items;
  if (page.asOf === null || entity === undefined) return null;
  const first = await firstChange((instant) => newestChange(type, instant, signal), entity.createdAt);
  return { first, last: page.asOf };
}

/** In how many steps the slider divides the time of a type. */
const STEPS = 1_000;

/** How many instants are asked for changes before them, to be marked under the slider, and how many at a time. */
const MARKS = 48;
const AT_ONCE = 3;

/** How long the slider has to rest before what it points at is asked for, in milliseconds. */
const REST_MS = 60;

/**
 * The moment at which entities of a type are looked at, on a slider over the time in which they changed: the arrow keys go from change to
 * change, a field takes any instant.
 */
export function Moment({ type, span }: { type: string; span: Span | undefined }) {
  const { at, zone = 'utc' } = view.value;
  const shown = useAnswer((signal) => newestChange(type, at, signal), [type, at]);
  const fault = shown.state === 'failed' ? faultOf(shown.error, MOMENT_FIELDS) : undefined;
  const [dragged, setDragged] = useState<number | null>(null);
  const rest = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const step = useSteps(type, span);
  useEffect(() => () => clearTimeout(rest.current), []);
  useKeys(({ key, shiftKey }) => {
    const which = shiftKey ? undefined : KEYS.get(key);
    if (which) return () => step.go(which);
    if (key === 'b') return () => go({ beside: view.value.at ?? 'now' });
    return key === '/' ? () => document.querySelector<HTMLElement>('.filters input')?.focus() : undefined;
  }, isElsewhere);

  const drag = (steps: number) => {
    setDragged(steps);
    clearTimeout(rest.current);
    rest.current = setTimeout(() => {
      setDragged(null);
      if (span) go({ at: steps >= STEPS ? undefined : roundedAt(steps / STEPS, span) }, 'replace');
    }, REST_MS);
  };
  const share = !span || at === undefined ? 1 : shareOf(at, span.first, span.last);
  const position = dragged ?? Math.round(share * STEPS);
  const pointed = dragged === null || !span ? at : dragged >= STEPS ? undefined : roundedAt(dragged / STEPS, span);
  const said = pointed === undefined ? 'now' : formatInstant(pointed, zone, new Date());
  return (
    <section class="moment" aria-label="The moment">
      <div class="moment-line">
        <InstantField
          label="As of"
          value={at}
          placeholder="now"
          fault={fault}
          take={(instant) => go({ at: instant })}
        />
        <button type="button" disabled={!span} onClick={() => step.go('before')}>
          ← change before
        </button>
        <button
          type="button"
          disabled={!span || (at === undefined && dragged === null)}
          onClick={() => step.go('after')}
        >
          change after →
        </button>
        {at !== undefined && <a href={hrefOf({ at: undefined })}>Back to now</a>}
      </div>
      {span && span.first !== span.last && (
        <div class="slider">
          <input
            type="range"
            min={0}
            max={STEPS}
            value={position}
            aria-label="Moment"
            aria-valuetext={said}
            onInput={({ currentTarget }) => drag(currentTarget.valueAsNumber)}
          />
          <Marks type={type} span={span} />
          <p class="ends small muted">
            <Instant at={span.first} />
            <span class="said">{pointed !== undefined && said}</span>
            <span>now</span>
          </p>
        </div>
      )}
      <p class="small muted" role="status">
        {at !== undefined && fault === undefined && (
          <>
            The past, as of <Instant at={at} />: it can be read, and not changed.{' '}
          </>
        )}
        {at !== undefined && shown.state === 'done' && shown.value !== null && (
          <>
            The newest change by then: <Instant at={shown.value} />.
          </>
        )}
        {at !== undefined && shown.state === 'done' && shown.value === null && 'Nothing was there yet.'}
        {at === undefined && span && (
          <>
            Now. The newest change: <Instant at={span.last} />.
          </>
        )}
        {step.said}
      </p>
      {shown.state === 'failed' && fault === undefined && <Failure error={shown.error} again={shown.again} />}
      {step.failed && <Failure error={step.failed} />}
    </section>
  );
}

/** An instant at a share of a span, to the second where that is fine enough, so that links are short. */
function roundedAt(share: number, { first, last }: { first: string; last: string }): string {
  const instant = instantAt(share, first, last);
  const second = instant.replace(/\.\d+Z$/, 'Z');
  const isFine = Date.parse(last) - Date.parse(first) > STEPS * 10_000;
  return isFine && !isBefore(second, first) ? second : instant;
}

type Step = 'before' | 'after' | 'first' | 'now';

/** Goes from change to change. */
function useSteps(type: string, span: Span | undefined) {
  const [failed, setFailed] = useState<Failed | undefined>();
  const [said, setSaid] = useState('');
  const asking = useRef<AbortController | null>(null);
  // Whoever presses a key faster than the service answers goes one step further once it has.
  const waiting = useRef<Step | null>(null);
  useEffect(() => () => asking.current?.abort(), []);
  useEffect(() => setSaid(''), [view.value.at]);
  const find = async (step: Step, { first, last }: { first: string; last: string }, signal: AbortSignal) => {
    const newest = (instant: string) => newestChange(type, instant, signal);
    const { at } = view.value;
    if (step === 'first') return first;
    if (step === 'before') return changeBefore(newest, at ?? last);
    return at === undefined || step === 'now' ? undefined : ((await changeAfter(newest, at, last)) ?? undefined);
  };
  const step = async (which: Step) => {
    if (!span) return;
    if (asking.current) {
      waiting.current = which;
      return;
    }
    const controller = new AbortController();
    const from = view.value.at;
    asking.current = controller;
    setFailed(undefined);
    try {
      const found = await find(which, span, controller.signal);
      if (controller.signal.aborted || view.value.at !== from) return;
      setSaid(found === null ? ' There is no change before.' : '');
      if (found !== null) go({ at: found }, 'replace');
    } catch (thrown) {
      if (!controller.signal.aborted) setFailed(failureOf(thrown));
    } finally {
      asking.current = null;
    }
    const next = waiting.current;
    waiting.current = null;
    if (next && !controller.signal.aborted) await step(next);
  };
  return { failed, said, go: (which: Step) => void step(which) };
}

const KEYS = new Map<string, Step>([
  ['ArrowLeft', 'before'],
  ['ArrowRight', 'after'],
  ['Home', 'first'],
  ['End', 'now'],
]);

/** The arrow keys, Home and End go from change to change, also on the slider, unless somebody types or scrolls with them. */
const isElsewhere = (target: Element): boolean =>
  !target.matches('.moment input[type="range"]') && target.closest('input, textarea, select, dialog, .scroll') !== null;

/** Where on the slider changes are known to lie. Of a stretch with many, the last one is marked. */
function Marks({ type, span }: { type: string; span: { first: string; last: string } }) {
  const { first, last } = span;
  const answer = useAnswer(
    async (signal) => {
      const found = new Set<string>([first, last]);
      const asked = evenly(first, last, MARKS).slice(1, -1).reverse();
      const askInTurn = async () => {
        for (let instant = asked.pop(); instant !== undefined; instant = asked.pop()) {
          const change = await newestChange(type, instant, signal);
          if (change !== null) found.add(change);
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, askInTurn));
      return [...found];
    },
    [type, first, last],
  );
  return (
    <svg class="marks" viewBox={`0 0 ${STEPS} 10`} preserveAspectRatio="none" aria-hidden="true">
      {answer.value?.map((change) => {
        const x = Math.round(shareOf(change, first, last) * STEPS);
        return <path key={change} d={`M${x} 0V10`} />;
      })}
    </svg>
  );
}
