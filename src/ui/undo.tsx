import type { RefObject } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { ClocktickProblem, ClocktickUnreachable } from '../client/client.js';
import type { Change, UndoConflict, WrittenUndo } from '../client/types.js';
import { entityName } from './core/entity-name.js';
import { nameText, WHOLE_NAME } from './core/value-text.js';
import { Dialog } from './dialog.js';
import { Difference } from './difference-view.js';
import { Instant } from './instant.js';
import { Failure, Loading } from './problem.js';
import { type Failed, failureOf, service, useAnswer } from './service.js';
import { go, hrefOf } from './state.js';
import { Told } from './told.js';

/*
 * Undo, in two steps: what it would do, by a dry run, and then who does it and why. Nothing is taken back: an undo is a new tick, or a new
 * activity, after which the past stands as before.
 */

/** Who undoes, remembered until the tab is closed, in a browser that keeps anything. */
const ACTOR = 'clocktick.actor';

function rememberedActor(): string {
  try {
    return sessionStorage.getItem(ACTOR) ?? '';
  } catch {
    return '';
  }
}

function rememberActor(actor: string): void {
  try {
    sessionStorage.setItem(ACTOR, actor);
  } catch {
    // Whoever keeps nothing writes it again.
  }
}

/**
 * Undoes an entity, or some of its properties: brings back what they were at a tick.
 * @param entity a UUID, or `type:key`
 * @param properties null: all of it
 * @param written is told that there is a new tick, also after the dialog was left
 */
export function UndoEntity({
  entity,
  to,
  properties,
  close,
  written,
}: {
  entity: string;
  to: number | string;
  properties: readonly string[] | null;
  close: () => void;
  written: () => void;
}) {
  const isOpen = useIsOpen();
  const [isUnsure, setUnsure] = useState(false);
  const [overtaken, setOvertaken] = useState<{ tick: number } | null>(null);
  const [turn, setTurn] = useState(0);
  const reversion = { to, ...(properties ? { properties: [...properties] } : {}) };
  const asked = JSON.stringify(reversion);
  const dry = useAnswer(
    async (signal) => {
      const preview = await service.entities.revert(entity, reversion, { dryRun: true, signal });
      // A dry run tells the tick that it would make.
      return { preview, tick: preview.preview?.op ? preview.tick - 1 : preview.tick };
    },
    [entity, asked, turn],
  );
  const { preview, tick } = dry.value ?? {};
  const changes = Object.entries(preview?.preview?.changes ?? {});
  const perform = async (activity: { actor?: string; reason: string }) => {
    if (tick === undefined) return;
    const outcome = await service.entities.revert(entity, { ...reversion, activity }, { ifMatch: tick });
    if (!outcome.done) {
      setOvertaken(outcome);
      if (outcome.mayBeWritten) setUnsure(true);
      setTurn((n) => n + 1);
      return;
    }
    written();
    // Whoever has left the dialog stays where they are.
    if (!isOpen.current) return;
    close();
    go({ at: undefined, beside: 'before' });
  };
  return (
    <Dialog title={titleOf(to, properties)} close={close}>
      <p>
        Brings back what {properties ? (properties.length === 1 ? 'it was' : 'they were') : 'the whole entity was'} at{' '}
        {typeof to === 'number' ? `tick ${to}` : <Instant at={to} />}. That is a new tick; the past stays as it is.
      </p>
      {isUnsure && <Unsure />}
      {overtaken !== null && <Overtaken entity={entity} tick={overtaken.tick} isUnsure={isUnsure} />}
      {dry.state === 'failed' && <Failure error={dry.error} again={dry.again} />}
      {dry.state === 'loading' && <Loading what="what would change" />}
      {dry.state === 'done' && changes.length === 0 && (
        <p class="nothing">Nothing would change: it is like that now.</p>
      )}
      {changes.length > 0 && (
        <table class="changes">
          <caption>What would change</caption>
          <thead>
            <tr>
              <th scope="col">property</th>
              <th scope="col">now → after the undo</th>
            </tr>
          </thead>
          <tbody>
            {changes.map(([property, { from, to: becomes }]) => (
              <tr key={property}>
                <th scope="row">{nameText(property, WHOLE_NAME)}</th>
                <td>
                  <Difference from={from} to={becomes} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <Why
        disabled={dry.state !== 'done' || changes.length === 0}
        perform={perform}
        unsure={() => {
          setUnsure(true);
          setTurn((n) => n + 1);
        }}
        close={close}
      />
    </Dialog>
  );
}

/** How many properties a title names. */
const MOST_NAMED = 3;

function titleOf(to: number | string, properties: readonly string[] | null): string {
  if (!properties) return typeof to === 'number' ? `Back to tick ${to}` : 'Back to what it was';
  return `Undo ${properties.length > MOST_NAMED ? `${properties.length} properties` : properties.map((name) => nameText(name)).join(', ')}`;
}

/** Whether a dialog is still there, for what goes on after a call of it. */
function useIsOpen(): RefObject<boolean> {
  const isOpen = useRef(true);
  useEffect(
    () => () => {
      isOpen.current = false;
    },
    [],
  );
  return isOpen;
}

/** Says that an undo was sent of which nobody knows what became. */
const Unsure = () => (
  <div class="failure unsure" role="alert">
    <p>
      <strong>Whether the undo was written is not known:</strong> its answer was lost. Below is what an undo would
      change now; look at what happened last before you undo again.
    </p>
  </div>
);

/**
 * Says who came first, and what they did.
 * @param isUnsure whether it may have been this very undo
 */
function Overtaken({ entity, tick, isUnsure }: { entity: string; tick: number; isUnsure: boolean }) {
  const answer = useAnswer(
    async (signal) => {
      const page = await service.entities.history(entity, { order: 'desc', limit: 1 }, { signal }).page();
      return page.items[0];
    },
    [entity, tick],
  );
  return (
    <div class="failure overtaken" role="alert">
      <p>
        <strong>
          {isUnsure ? 'Somebody was first, or this very undo was.' : 'Somebody was first, and nothing was written.'}
        </strong>{' '}
        The entity is at tick {tick} now. Below is what an undo would change today.
      </p>
      {answer.value && (
        <p>
          Tick {answer.value.tick}, <Instant at={answer.value.at} />: <Told head={answer.value} tick={answer.value} />
        </p>
      )}
      {answer.state === 'failed' && <Failure error={answer.error} />}
    </div>
  );
}

const ON_CONFLICT = [
  ['refuse', 'Undo nothing'],
  ['skip', 'Undo the rest'],
  ['force', 'Undo it all the same'],
] as const;

type OnConflict = (typeof ON_CONFLICT)[number][0];

/** Undoes all that an activity did, by a new activity. */
export function UndoActivity({ id, close }: { id: string; close: () => void }) {
  const isOpen = useIsOpen();
  const [onConflict, setOnConflict] = useState<OnConflict>('refuse');
  const [isUnsure, setUnsure] = useState(false);
  const [isUndone, setUndone] = useState(false);
  const [turn, setTurn] = useState(0);
  const dry = useAnswer(
    async (signal) => {
      const ask = (how: OnConflict) => service.activities.revert(id, { onConflict: how }, { dryRun: true, signal });
      try {
        return { undo: await ask(onConflict), isRefused: false };
      } catch (thrown) {
        const isConflict = thrown instanceof ClocktickProblem && thrown.code === 'undo_conflict';
        if (!isConflict || onConflict !== 'refuse') throw thrown;
        // Whoever has to choose needs to see what stands in the way, which the undo of the rest tells.
        return { undo: await ask('skip'), isRefused: true };
      }
    },
    [id, onConflict, turn],
  );
  const { undo, isRefused = false } = dry.state === 'done' ? dry.value : {};
  const changed = isRefused ? [] : (undo?.items.filter(({ op }) => op !== null) ?? []);
  const perform = async (activity: { actor?: string; reason: string }) => {
    const { activity: made } = await service.activities.revert(id, { activity, onConflict });
    // Whoever has left the dialog stays where they are.
    if (!isOpen.current) return;
    if (made) {
      close();
      go({ activity: made.id });
      return;
    }
    setUndone(true);
    setTurn((n) => n + 1);
  };
  return (
    <Dialog title="Undo the activity" close={close}>
      <p>
        Gives every property that this activity changed the value it had before; what it created is deleted, and what it
        deleted is restored. That is a new activity; the past stays as it is.
      </p>
      {isUnsure && <Unsure />}
      {isUndone && (
        <p class="nothing" role="alert">
          Nothing was written: by then there was nothing left to undo.
        </p>
      )}
      <fieldset>
        <legend>Where somebody has changed the same since</legend>
        {ON_CONFLICT.map(([value, says]) => (
          <label key={value} class="choice">
            <input
              type="radio"
              name="on-conflict"
              checked={onConflict === value}
              onChange={() => setOnConflict(value)}
            />
            {says}
          </label>
        ))}
      </fieldset>
      {dry.state === 'failed' && <Failure error={dry.error} again={dry.again} />}
      {dry.state === 'loading' && <Loading what="what would change" />}
      {isRefused && (
        <div class="failure" role="alert">
          <p>
            <strong>Nothing would be undone,</strong> because somebody has changed the same since. Choose above what to
            do about it.
          </p>
        </div>
      )}
      {undo && undo.conflicts.length > 0 && <Conflicts undo={undo} />}
      {undo && !isRefused && changed.length === 0 && (
        <p class="nothing">Nothing would change: all of it is like that now.</p>
      )}
      {changed.length > 0 && <Changed items={changed} />}
      <Why
        disabled={changed.length === 0}
        perform={perform}
        unsure={() => {
          setUnsure(true);
          setTurn((n) => n + 1);
        }}
        close={close}
      />
    </Dialog>
  );
}

/** How many entities of an undo are shown with what would change of each, and of how many properties. */
const MOST_SHOWN = 50;
const MOST_PROPERTIES = 20;

function Changed({ items }: { items: WrittenUndo['items'] }) {
  const shown = items.slice(0, MOST_SHOWN);
  return (
    <>
      <h3>
        {items.length.toLocaleString('en')} {items.length === 1 ? 'entity' : 'entities'} would change
      </h3>
      <ul class="undone">
        {shown.map(({ id, op, entity, changes }) => (
          <li key={id}>
            <a href={hrefOf({ entity: id })}>{entity ? entityName(entity) : id}</a>: {op}
            {changes && <Changes changes={Object.entries(changes)} />}
          </li>
        ))}
      </ul>
      {items.length > shown.length && (
        <p class="muted">… and {(items.length - shown.length).toLocaleString('en')} more.</p>
      )}
    </>
  );
}

const Changes = ({ changes }: { changes: [property: string, change: Change][] }) => (
  <>
    <dl>
      {changes.slice(0, MOST_PROPERTIES).map(([property, { from, to }]) => (
        <div key={property}>
          <dt>{nameText(property, WHOLE_NAME)}</dt>
          <dd>
            <Difference from={from} to={to} />
          </dd>
        </div>
      ))}
    </dl>
    {changes.length > MOST_PROPERTIES && (
      <p class="muted">… and {(changes.length - MOST_PROPERTIES).toLocaleString('en')} more properties.</p>
    )}
  </>
);

const Conflicts = ({ undo: { conflicts, conflictCount } }: { undo: WrittenUndo }) => (
  <>
    <h3>
      {conflictCount} later {conflictCount === 1 ? 'change stands' : 'changes stand'} in the way
    </h3>
    <ul>
      {conflicts.slice(0, MOST_SHOWN).map((conflict) => (
        <Conflict key={`${conflict.id} ${conflict.property}`} conflict={conflict} />
      ))}
    </ul>
  </>
);

const Conflict = ({
  conflict: { id, type, key, property, tick, at, activity, forced },
}: {
  conflict: UndoConflict;
}) => (
  <li>
    <a href={hrefOf({ entity: id, at: `${tick}` })}>{entityName({ id, type, key })}</a>
    {property === undefined ? ' (whether it is there)' : ` ${nameText(property, WHOLE_NAME)}`}: tick {tick},{' '}
    <Instant at={at} />, <bdi>{activity?.actor ?? 'somebody'}</bdi>
    {forced && ' (undone with the rest)'}
  </li>
);

/**
 * Who undoes, and why, and the button that does it. A reason has to be given: it is what the next reader of the history asks for.
 * @param unsure is told that the undo may be written, though there is no answer that says so
 */
function Why({
  disabled,
  perform,
  unsure,
  close,
}: {
  disabled: boolean;
  perform: (activity: { actor?: string; reason: string }) => Promise<void>;
  unsure: () => void;
  close: () => void;
}) {
  const [actor, setActor] = useState(rememberedActor);
  const [reason, setReason] = useState('');
  const [isUnderWay, setUnderWay] = useState(false);
  const [error, setError] = useState<Failed | null>(null);
  const send = async () => {
    setUnderWay(true);
    setError(null);
    rememberActor(actor);
    try {
      await perform({ ...(actor.trim() === '' ? {} : { actor: actor.trim() }), reason: reason.trim() });
    } catch (thrown) {
      const failed = failureOf(thrown);
      const mayBeWritten = 'mayBeWritten' in failed && failed.mayBeWritten;
      if (mayBeWritten) unsure();
      setError(mayBeWritten && failed instanceof ClocktickUnreachable ? null : failed);
    } finally {
      setUnderWay(false);
    }
  };
  return (
    <form
      class="why"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <label class="field">
        <span>Who undoes it</span>
        <input value={actor} onInput={({ currentTarget }) => setActor(currentTarget.value)} autocomplete="username" />
      </label>
      <label class="field">
        <span>Why</span>
        <input
          required
          value={reason}
          placeholder="needed: who reads the history will ask"
          onInput={({ currentTarget }) => setReason(currentTarget.value)}
        />
      </label>
      {error instanceof ClocktickUnreachable ? (
        <p class="failure" role="alert">
          <strong>The service does not answer, and nothing was written.</strong>
        </p>
      ) : (
        error && <Failure error={error} />
      )}
      <p class="buttons">
        <button type="submit" class="primary" disabled={disabled || isUnderWay || reason.trim() === ''}>
          {isUnderWay ? 'Undoing …' : 'Undo'}
        </button>{' '}
        <button type="button" onClick={close}>
          Leave it
        </button>
      </p>
    </form>
  );
}
