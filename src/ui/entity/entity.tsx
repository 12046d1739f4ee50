import type { RefObject } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { ClocktickProblem } from '../../client/client.js';
import { Nearby } from '../find.js';
import { Instant } from '../instant.js';
import { InstantField } from '../instant-field.js';
import { useKeys } from '../keys.js';
import { Failure, Loading } from '../problem.js';
import type { Answer } from '../service.js';
import { go, hrefOf, view } from '../state.js';
import { Told } from '../told.js';
import { UndoEntity } from '../undo.js';
import { byName, type Clock, type State, useEntityAt, useHeads, useTold } from './data.js';
import { headAt } from './heads.js';
import { type Moment, momentAt, momentBeside, momentText, pointOf, stepFrom } from './moment.js';
import { Comparing, StatePanel, Who } from './state.js';
import { TicksList } from './ticks.js';
import { FILTER_ID, type Moves, Timeline } from './timeline.js';

const FIRST: Moment = { asOf: '1', tick: 1 };

/**
 * The page of one entity: its properties over its ticks, and the state of the moment that is looked at.
 * @param entity a UUID, or `type:key`
 */
export function EntityPage({ entity }: { entity: string }) {
  const clock = useHeads(entity, null);
  const { at, beside = 'before', only = false } = view.value;
  const { heads } = clock;
  const shown = momentAt(at, clock);
  const other = momentBeside(beside, shown, clock);
  const state = useEntityAt(entity, shown, clock);
  const compared = useEntityAt(entity, other, clock);
  const first = useEntityAt(entity, FIRST, clock);
  const [undone, setUndone] = useState<readonly string[] | null | undefined>(undefined);
  const [undoneTick, setUndoneTick] = useState<{ tick: number; properties: readonly string[] } | null>(null);
  const moves = useRef<Moves>(null);

  const last = heads.at(-1);
  const isPast = at !== undefined;
  // Of what is shown as it is now, the last tick is what there is to undo.
  const back = isPast ? shown.tick || null : last && last.tick > 1 ? last.tick - 1 : null;
  const mark = () => shown.tick && go({ beside: String(shown.tick) }, 'replace');
  const undo = () => back !== null && setUndone(null);
  useKeys((event) => actionOf(event, { clock, shown, only, mark, undo, moves }));

  if (heads.length === 0)
    return (
      <>
        <h1>{entity}</h1>
        {clock.failed ? <Failure {...clock.failed} /> : <Loading what="the entity" />}
        {clock.failed && isNowhere(clock.failed.error) && <Nearby entity={entity} />}
      </>
    );
  const names = [...new Set([...namesOf(state), ...namesOf(compared)])].sort(byName);
  return (
    <div class="entity">
      <Head entity={entity} clock={clock} first={first} shown={shown} isPast={isPast} />
      <Banner
        entity={entity}
        clock={clock}
        shown={shown}
        isPast={isPast}
        undo={back === null ? undefined : () => setUndone(null)}
        undoTick={setUndoneTick}
      />
      {clock.failed && <Failure {...clock.failed} />}
      <Timeline entity={entity} clock={clock} shown={shown} other={other} names={names} moves={moves} />
      <div class="below">
        <div>
          <Comparing beside={beside} only={only} mark={mark} />
          {other && (
            <StatePanel
              now={shown}
              beside={other}
              state={state}
              other={compared}
              only={only}
              undo={isPast && back !== null ? (property) => setUndone([property]) : undefined}
            />
          )}
        </div>
        <TicksList entity={entity} clock={clock} shown={shown} names={names} />
      </div>
      {undoneTick && (
        <UndoEntity
          entity={entity}
          to={undoneTick.tick - 1}
          properties={undoneTick.properties}
          written={clock.readNewer}
          close={() => {
            setUndoneTick(null);
            clock.readNewer();
          }}
        />
      )}
      {undone !== undefined && back !== null && (
        <UndoEntity
          entity={entity}
          to={back}
          properties={undone}
          written={clock.readNewer}
          close={() => {
            setUndone(undefined);
            clock.readNewer();
          }}
        />
      )}
    </div>
  );
}

/** Whether an error says that what was asked for is no entity. */
const isNowhere = (error: unknown): boolean =>
  error instanceof ClocktickProblem && (error.code === 'entity_not_found' || error.code === 'invalid_id');

const namesOf = ({ value }: Answer<State | null>): string[] =>
  value?.is === 'there' ? Object.keys(value.entity.properties) : [];

/** What the entity is, and how it is now, with links to the answers of the API. */
function Head({
  entity,
  clock,
  first,
  shown,
  isPast,
}: {
  entity: string;
  clock: Clock;
  first: Answer<State | null>;
  shown: Moment;
  isPast: boolean;
}) {
  const last = clock.heads.at(-1);
  const born = first.value?.is === 'there' ? first.value.entity : undefined;
  const json = `../entities/${encodeURIComponent(entity)}`;
  return (
    <header class="head">
      {born && (
        <p class="kind">
          <a href={hrefOf({ type: born.type })}>{born.type}</a>
        </p>
      )}
      <h1>{born?.key ?? born?.id ?? entity}</h1>
      {last && (
        <p class="told">
          {last.op === 'deleted' ? <strong class="deleted">✕ deleted</strong> : 'living'}, at tick {last.tick} since{' '}
          <Instant at={last.at} />
          {last.activity && (
            <>
              {' '}
              by <Who activity={last.activity} />
            </>
          )}
          {born && (
            <>
              ; created <Instant at={born.createdAt} />
            </>
          )}
          . JSON: <a href={json}>now</a>
          {isPast && typeof shown.asOf === 'string' && (
            <>
              , <a href={`${json}?asOf=${encodeURIComponent(shown.asOf)}&include=provenance`}>as of here</a>
            </>
          )}
          , <a href={`${json}/history`}>history</a>
        </p>
      )}
      <div class="line">
        <InstantField
          label="As of"
          value={view.value.at}
          placeholder="now"
          ticks
          take={(point) => go({ at: point }, 'replace')}
        />
        {born?.key !== undefined && <span class="muted small">{born.id}</span>}
      </div>
    </header>
  );
}

/** Says which moment is shown: now, or the past, which nobody can change; and which tick made it so. */
function Banner({
  entity,
  clock,
  shown,
  isPast,
  undo,
  undoTick,
}: {
  entity: string;
  clock: Clock;
  shown: Moment;
  isPast: boolean;
  undo: (() => void) | undefined;
  undoTick: (undone: { tick: number; properties: readonly string[] }) => void;
}) {
  const { zone = 'utc' } = view.value;
  const head = shown.tick === null ? undefined : headAt(clock.heads, shown.tick);
  const told = useTold(entity, head ? [head.tick] : []);
  const last = clock.heads.at(-1)?.tick ?? 0;
  // Of the past, not only its state can be brought back: a tick that went wrong can be undone, and what came after it stays.
  const changed = isPast && head?.op === 'updated' ? Object.keys(told.value?.get(head.tick)?.changes ?? {}) : [];
  return (
    <p class={isPast ? 'banner moment past' : 'banner moment'} role="status">
      <span>
        {isPast ? (
          <strong>Read-only: the past, {momentText(shown, zone, last)}</strong>
        ) : (
          `Now, at tick ${last} of ${last}`
        )}
        {head && (
          <>
            : <Instant at={head.at} />, <Told head={head} tick={told.value?.get(head.tick)} />
          </>
        )}
      </span>
      {isPast && <a href={hrefOf({ at: undefined })}>Back to now</a>}
      {head && changed.length > 0 && (
        <button type="button" onClick={() => undoTick({ tick: head.tick, properties: changed })}>
          Undo this tick …
        </button>
      )}
      {undo && (
        <button type="button" onClick={undo}>
          {isPast ? 'Bring this back …' : 'Undo the last tick …'}
        </button>
      )}
    </p>
  );
}

/** How much of its width the timeline moves by a key. */
const PAN = 0.25;
const ZOOM = 1.5;

/** What a key does on this page. */
function actionOf(
  { key, shiftKey }: KeyboardEvent,
  {
    clock: { heads },
    shown,
    only,
    mark,
    undo,
    moves,
  }: {
    clock: Clock;
    shown: Moment;
    only: boolean;
    mark: () => void;
    undo: () => void;
    moves: RefObject<Moves | null>;
  },
): (() => void) | undefined {
  const step = (by: number) => go({ at: stepFrom(shown, by, heads) }, 'replace');
  switch (key) {
    case 'ArrowLeft':
      return shiftKey ? () => moves.current?.pan(-PAN) : () => step(-1);
    case 'ArrowRight':
      return shiftKey ? () => moves.current?.pan(PAN) : () => step(1);
    case 'Home':
      return () => go({ at: pointOf(1, heads.at(-1)?.tick ?? 1) }, 'replace');
    case 'End':
      return () => go({ at: undefined }, 'replace');
    case '+':
    case '=':
      return () => moves.current?.zoom(ZOOM);
    case '-':
    case '_':
      return () => moves.current?.zoom(1 / ZOOM);
    case 'b':
      return mark;
    case 'o':
      return () => go({ only: only ? undefined : true }, 'replace');
    case 'u':
      return undo;
    case '/':
      return () => document.getElementById(FILTER_ID)?.focus();
    default:
      return undefined;
  }
}
