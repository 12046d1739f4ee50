/**
 * Where every connection of ours looks for a name without a schema: among what PostgreSQL has, and nowhere else. By itself it would look in
 * `public`, or where the database or the role says, where others may have put an `=` or an `upper_inf` of their own. (Unnamed, `pg_temp` would come
 * first.)
 */
export const SEARCH_PATH = { search_path: 'pg_catalog, pg_temp' };
