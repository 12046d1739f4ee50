import { service, useAnswer } from '../service.js';
import { hrefOf, view } from '../state.js';
import { Compared } from './compared.js';
import { Moment, spanOf } from './moment.js';
import { mostTelling, namesIn } from './names.js';
import { OverTime } from './over-time.js';
import { EntityTable } from './table.js';

/** Of how many entities the properties are read that are offered to choose from. */
const SEEN = 20;

/**
 * The entities of a type at a moment: as a table, as one property over time (`property` of the view), or beside those of another moment
 * (`beside`).
 */
export function CollectionPage({ type }: { type: string }) {
  const { property, beside } = view.value;
  const span = useAnswer((signal) => spanOf(type, signal), [type]);
  const { properties, telling } = useProperties(type);
  const shown = beside !== undefined ? 'compared' : property !== undefined ? 'over time' : 'table';
  return (
    <div class="collection">
      <h1>{type}</h1>
      <Moment type={type} span={span.value} />
      <nav class="ways" aria-label="Ways to look">
        <Way isShown={shown === 'table'} change={{ property: undefined, beside: undefined }}>
          Table
        </Way>
        {(property ?? telling) === undefined ? (
          <span class="muted">A property over time</span>
        ) : (
          <Way isShown={shown === 'over time'} change={{ property: property ?? telling, beside: undefined }}>
            A property over time
          </Way>
        )}
        <Way isShown={shown === 'compared'} change={{ beside: beside ?? 'before' }}>
          Two moments compared
        </Way>
        <a href={hrefOf({ show: 'activities', type })}>Activities</a>
      </nav>
      {shown === 'table' && <EntityTable type={type} properties={properties} />}
      {shown === 'over time' && property !== undefined && (
        <OverTime type={type} property={property} properties={properties} span={span.value} />
      )}
      {shown === 'compared' && beside !== undefined && (
        <Compared type={type} beside={beside} properties={properties} span={span.value} />
      )}
    </div>
  );
}

const Way = ({
  isShown,
  change,
  children,
}: {
  isShown: boolean;
  change: Parameters<typeof hrefOf>[0];
  children: string;
}) => (
  <a href={hrefOf(change)} aria-current={isShown ? 'page' : undefined}>
    {children}
  </a>
);

/** The properties that entities of a type have at the moment, and the one that tells most when its values are counted. */
function useProperties(type: string): { properties: string[]; telling: string | undefined } {
  const { at } = view.value;
  const answer = useAnswer(
    (signal) => service.entities.list({ type, limit: SEEN, asOf: at }, { signal }).page(),
    [type, at],
  );
  const entities = answer.value?.items ?? [];
  const properties = namesIn(entities);
  return { properties, telling: mostTelling(entities, properties) };
}
