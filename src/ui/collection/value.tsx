import { valueText } from '../core/value-text.js';

/** How much of a value its title has. */
const MOST_IN_TITLE = 600;

/** A JSON value in one short line; more of it stands in its title. */
export function Value({ value, most = 40 }: { value: unknown; most?: number }) {
  const text = valueText(value, most);
  const more = valueText(value, MOST_IN_TITLE);
  return (
    <span class={`value ${kindOf(value)}`} title={more === text ? undefined : more}>
      {text}
    </span>
  );
}

const kindOf = (value: unknown): string => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);
