import { readFile } from 'node:fs/promises';
import type { Sql } from './engine/pools.js';
import { CATALOGUE_FILE } from './schema-files.js';

/**
 * An object of the schema, as `kind name`, and all that PostgreSQL says of it, in the words of any version that clocktick runs on. Of a function, which
 * stands in drizzle/sql, the hash of it.
 */
export type Catalogued = { object: string; text: string };

/** What each object must be: what migrating an empty database makes. (test/storage/schema.test.ts says how it is written anew.) */
export async function expectedCatalogue(): Promise<Catalogued[]> {
  const objects: Record<string, string> = JSON.parse(await readFile(CATALOGUE_FILE, 'utf8'));
  return Object.entries(objects).map(([object, text]) => ({ object, text }));
}

/**
 * What a database has: every object of the schema but the table that records migrations, and what belongs to an extension. No `search_path` may
 * find the schema, because PostgreSQL leaves out what it finds.
 */
export const readCatalogue = (sql: Sql) => sql<Catalogued[]>`
  WITH relation AS (
    SELECT c.* FROM pg_class c
     WHERE c.relnamespace = 'clocktick'::regnamespace AND c.relname NOT IN ('migration', 'migration_id_seq')
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  )
  SELECT object, text FROM (
    SELECT 0 AS kind, format('%s %s', CASE r.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' ELSE r.relkind::text END, r.relname) AS object,
           concat(CASE r.relpersistence WHEN 'p' THEN 'permanent' ELSE r.relpersistence::text END,
                  CASE WHEN r.relkind = 'v' THEN E'\n' || pg_get_viewdef(r.oid) END,
                  CASE WHEN r.relrowsecurity OR r.relforcerowsecurity THEN ', with row security' END) AS text
      FROM relation r WHERE r.relkind NOT IN ('i', 'I')
    UNION ALL
    SELECT 1, format('column %s.%s', r.relname, a.attname),
           format('%s%s%s%s', format_type(a.atttypid, a.atttypmod),
                  CASE WHEN a.attcollation <> 0 THEN ' collate ' || (SELECT collname FROM pg_collation WHERE oid = a.attcollation) END,
                  CASE WHEN a.attnotnull THEN ' not null' END,
                  (SELECT ' default ' || pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum))
      FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid WHERE r.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 2, format('constraint %s.%s', r.relname, k.conname),
           concat(pg_get_constraintdef(k.oid), CASE WHEN NOT k.convalidated THEN ', not valid' END)
      FROM relation r JOIN pg_constraint k ON k.conrelid = r.oid WHERE k.contype NOT IN ('n', 't')
    UNION ALL
    SELECT 3, format('index %s', c.relname), concat(pg_get_indexdef(c.oid), CASE WHEN NOT i.indisvalid THEN ', invalid' END)
      FROM relation r JOIN pg_index i ON i.indrelid = r.oid JOIN pg_class c ON c.oid = i.indexrelid
    UNION ALL
    SELECT 4, format('trigger %s.%s', r.relname, g.tgname),
           concat(pg_get_triggerdef(g.oid), CASE g.tgenabled WHEN 'A' THEN ', fires always' WHEN 'D' THEN ', switched off' ELSE ', fires by session_replication_role' END)
      FROM relation r JOIN pg_trigger g ON g.tgrelid = r.oid WHERE NOT g.tgisinternal
    UNION ALL
    SELECT 5, format('rule %s.%s', r.relname, w.rulename), pg_get_ruledef(w.oid)
      FROM relation r JOIN pg_rewrite w ON w.ev_class = r.oid WHERE w.rulename <> '_RETURN'
    UNION ALL
    SELECT 6, format('function %s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)),
           CASE p.prokind WHEN 'f' THEN encode(sha256(convert_to(pg_get_functiondef(p.oid), 'UTF8')), 'hex') ELSE 'no function' END
      FROM pg_proc p WHERE p.pronamespace = 'clocktick'::regnamespace
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
  ) object ORDER BY kind, object COLLATE "C"`;
