import type { Json } from '../client/types.js';
import { differenceOf, type Part, pathText, type Segment } from './core/difference.js';
import { valueText } from './core/value-text.js';

/** What differs between two values of a property, as people read it: a sign and a word beside each colour. Undefined is "not set". */
export function Difference({ from, to }: { from: Json | undefined; to: Json | undefined }) {
  const { parts, more } = differenceOf(from, to);
  if (parts.length === 0) return <span class="muted">no difference</span>;
  return (
    <>
      {parts.map((part) => (
        <div class="part" key={JSON.stringify([part.path, part.is])}>
          {part.path.length > 0 && <code class="path">{pathText(part.path)}</code>} <What part={part} />
        </div>
      ))}
      {more > 0 && <div class="muted">… and {more.toLocaleString('en')} more places</div>}
    </>
  );
}

/** How much of a value is shown, in UTF-16 code units. */
const LONGEST = 300;

function What({ part }: { part: Part }) {
  switch (part.is) {
    case 'added':
      return <Added text={valueText(part.to, LONGEST)} />;
    case 'removed':
      return <Removed text={valueText(part.from, LONGEST)} />;
    case 'changed':
      return (
        <>
          <Removed text={valueText(part.from, LONGEST)} /> <span aria-hidden="true">→</span>{' '}
          <Added text={valueText(part.to, LONGEST)} />
        </>
      );
    case 'text':
      return (
        <span class="text">
          {part.segments.map((segment, n) => (
            <Piece key={`${n} ${segment.is}`} segment={segment} />
          ))}
        </span>
      );
  }
}

const Piece = ({ segment: { is, text, skipped } }: { segment: Segment }) => {
  const all = skipped ? `${text} … (${skipped.toLocaleString('en')} characters) …` : text;
  if (is === 'added') return <Added text={all} />;
  if (is === 'removed') return <Removed text={all} />;
  return <span>{all}</span>;
};

const Added = ({ text }: { text: string }) => (
  <ins>
    <span class="sign" aria-hidden="true">
      +
    </span>
    {text}
  </ins>
);

const Removed = ({ text }: { text: string }) => (
  <del>
    <span class="sign" aria-hidden="true">
      −
    </span>
    {text}
  </del>
);
