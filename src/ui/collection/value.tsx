/** A JSON value in one short line. A text that would read as another value is in quotes. */
export function shortText(value: unknown, most = 40): string {
  const text = typeof value === 'string' && !isAmbiguous(value) ? value : (JSON.stringify(value) ?? '');
  const characters = [...text.slice(0, most * 2 + 2)];
  return characters.length > most ? `${characters.slice(0, most - 1).join('')}…` : text;
}

/** Whether a text, without quotes, would read as no text or as another value: empty, with space at an end, `4`, `null`, `[1]`. */
function isAmbiguous(text: string): boolean {
  if (text === '' || text.trim() !== text) return true;
  if (!/^(?:["[{\d-]|true$|false$|null$)/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** How much of a value its title has. */
const MOST_IN_TITLE = 600;

/** A JSON value in one short line; more of it stands in its title. */
export function Value({ value, most = 40 }: { value: unknown; most?: number }) {
  const text = shortText(value, most);
  const whole = shortText(value, MOST_IN_TITLE);
  const kind = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
  return (
    <span class={`value ${kind}`} title={whole === text ? undefined : whole}>
      {text}
    </span>
  );
}

/** What people call an entity, and calls as well: `type:key`, or its UUID where it has no key. */
export const entityName = ({ id, type, key }: { id: string; type: string; key?: string | undefined }): string =>
  key === undefined ? id : `${type}:${key}`;

/** The names of all properties that some entities have, in the order in which they are first met. */
export const namesIn = (entities: readonly { properties: Record<string, unknown> }[]): string[] => [
  ...new Set(entities.flatMap(({ properties }) => Object.keys(properties))),
];
