import { useEffect, useId, useState } from 'preact/hooks';
import { formatInstant, parseMoment } from './core/instants.js';
import { Fault } from './faults.js';
import { view } from './state.js';

/**
 * The instant that a person writes; or what is wrong with it.
 * @param ticks whether it may be the number of a tick, too
 */
export function readInstant(text: string, ticks = false): { instant: string } | { fault: string } {
  const moment = parseMoment(text, view.value.zone ?? 'utc');
  if (moment === null) return { fault: 'That is no instant: write one such as 2016-01-08 12:00.' };
  if (!ticks && /^\d+$/.test(moment))
    return { fault: 'A tick is one of an entity: write an instant such as 2016-01-08 12:00.' };
  return { instant: moment === 'now' ? new Date().toISOString() : moment };
}

/** What a field shows of a moment: an instant as people read it, exact and in a form that is read again, also where others tell how long ago. */
export function momentWritten(moment: string): string {
  if (/^\d+$/.test(moment)) return `tick ${moment}`;
  const { zone = 'utc' } = view.value;
  return moment.includes('T') ? formatInstant(moment, zone === 'relative' ? 'local' : zone, new Date()) : moment;
}

/**
 * A field that takes any instant.
 * @param value what it is now; undefined: none, which `placeholder` names
 * @param fault what the service said of it
 * @param words what else may be written, as it stands
 * @param ticks whether the number of a tick may be written, too
 */
export function InstantField({
  label,
  value,
  placeholder,
  fault,
  words = [],
  ticks = false,
  take,
}: {
  label: string;
  value: string | undefined;
  placeholder: string;
  fault?: string | undefined;
  words?: readonly string[];
  ticks?: boolean;
  take: (instant: string | undefined) => void;
}) {
  const shown = value === undefined ? '' : momentWritten(value);
  const [text, setText] = useState(shown);
  const [wrong, setWrong] = useState<string | undefined>();
  const id = useId();
  useEffect(() => {
    setText(shown);
    setWrong(undefined);
  }, [shown]);
  const said = wrong ?? fault;
  const commit = () => {
    const asked = text.trim().toLowerCase() === 'now' ? 'now' : text.trim();
    if (asked === shown) return setWrong(undefined);
    if (asked === '' || asked === placeholder) return take(undefined);
    if (words.includes(asked)) return take(asked);
    const read = readInstant(asked, ticks);
    if ('fault' in read) setWrong(read.fault);
    else if (read.instant !== value) take(read.instant);
    else setText(shown);
  };
  return (
    <span class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        class="instant"
        value={text}
        placeholder={placeholder}
        autocomplete="off"
        spellcheck={false}
        aria-invalid={said !== undefined}
        aria-describedby={said === undefined ? undefined : `${id}-fault`}
        onInput={({ currentTarget }) => setText(currentTarget.value)}
        onChange={commit}
      />
      <Fault id={`${id}-fault`} fault={said} />
    </span>
  );
}
