import type { Filter } from '../../storage/filters.js';
import { parseEverHad, parseFilter, refuseManyOfAllTypes } from '../../temporal/filter.js';

type Query = { where?: string | undefined; everHad?: string | undefined };

/** What a query asks of properties of a type, or of all types. @throws Refusal `invalid_filter` */
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
