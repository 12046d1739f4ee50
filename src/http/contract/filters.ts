import type { Filter } from '../../storage/filters.js';
import { parseEverHad, parseFilter, refuseManyOfAllTypes } from '../../temporal/filter.js';

type Query = { where?: string | undefined; everHad?: string | undefined };

/**
 * The filter in a query.
 * @param type the type whose entities it chooses from; null is all types, in which it may look for fewer values
 * @throws Refusal `invalid_filter`
 */
export function filterOf({ where, everHad }: Query, type: string | null): Filter {
  const filter = {
    where: where === undefined ? [] : parseFilter(where, 'where'),
    everHad: everHad === undefined ? [] : parseEverHad(everHad, 'everHad'),
    changedAfter: null,
  };
  if (type === null) {
    refuseManyOfAllTypes(filter.where, 'where');
    refuseManyOfAllTypes(filter.everHad, 'everHad');
  }
  return filter;
}
