import type { Filter } from '../storage/filters.js';
import { parseEverHad, parseFilter } from '../temporal/filter.js';

/** What a query asks of properties. @throws Refusal `invalid_filter` */
export const filterOf = (query: { where?: string | undefined; everHad?: string | undefined }): Filter => ({
  where: query.where === undefined ? [] : parseFilter(query.where, 'where'),
  everHad: query.everHad === undefined ? [] : parseEverHad(query.everHad, 'everHad'),
  changedAfter: null,
});
