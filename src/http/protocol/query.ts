import { parse } from 'node:querystring';

/** The parameters that take many items. */
const LISTS = /(^|&)(ids|fields|include|property|at)=([^&]*,[^&]*)/g;

/**
 * A query in which each item of a list has its own `name=item`. That is how OpenAPI writes a list (`style: form` with `explode`), and an item
 * may hold any character: clients percent-encode all of them. A comma that is not encoded separates items, too, for those who write a URL
 * by hand.
 */
export const withItemsApart = (query: string): string =>
  query.replace(LISTS, (_, start: string, name: string, items: string) =>
    start.concat(
      items
        .split(',')
        .map((item) => `${name}=${item}`)
        .join('&'),
    ),
  );

/** Reads a query. A name that stands more than once has the list of its values. */
export const parseQuery = (query: string): Record<string, unknown> =>
  query === '' ? {} : parse(query.includes(',') ? withItemsApart(query) : query, '&', '=', { maxKeys: 0 });
