import { useEffect, useId, useState } from 'preact/hooks';
import { parseMoment } from '../instants.js';
import { view } from '../state.js';
import { Fault } from './faults.js';

/** The instant that a person writes; or what is wrong with it. */
export function readInstant(text: string): { instant: string } | { fault: string } {
  const moment = parseMoment(text, view.value.zone ?? 'utc');
  if (moment === null) return { fault: 'That is no instant: write one such as 2016-01-08 12:00.' };
  if (/^\d+$/.test(moment)) return { fault: 'A tick is one of an entity: write an instant such as 2016-01-08 12:00.' };
  return { instant: moment === 'now' ? new Date().toISOString() : moment };
}

/**
 * A field that takes any instant.
 * @param value what it is now; undefined: none, which `placeholder` names
 * @param fault what the service said of it
 * @param words what else may be written, as it stands
 */
export function InstantField({
  label,
  value,
  placeholder,
  fault,
  words = [],
  take,
}: {
  label: string;
  value: string | undefined;
  placeholder: string;
  fault?: string | undefined;
  words?: readonly string[];
  take: (instant: string | undefined) => void;
}) {
  const [text, setText] = useState(value ?? '');
  const [wrong, setWrong] = useState<string | undefined>();
  const id = useId();
  useEffect(() => {
    setText(value ?? '');
    setWrong(undefined);
  }, [value]);
  const said = wrong ?? fault;
  const commit = () => {
    const asked = text.trim().toLowerCase() === 'now' ? 'now' : text.trim();
    if (asked === (value ?? '')) return setWrong(undefined);
    if (asked === '' || asked === placeholder) return take(undefined);
    if (words.includes(asked)) return take(asked);
    const read = readInstant(asked);
    if ('fault' in read) setWrong(read.fault);
    else if (read.instant !== value) take(read.instant);
    else setText(value);
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
