import type postgres from 'postgres';

/** Everything the migrations made, as text that only changes when the schema does: one line or block for each object. */
export async function dumpCatalogue(sql: postgres.Sql): Promise<string> {
  // PostgreSQL leaves the schema out of a name that the search path finds. With an empty search path every name has its schema.
  const rows = await sql.begin(async (tx) => {
    await tx`SET LOCAL search_path = ''`;
    return tx<{ line: string }[]>`
    WITH relation AS (
      SELECT c.oid, c.relname, c.relkind FROM pg_class c WHERE c.relnamespace = 'clocktick'::regnamespace AND c.relname <> 'migration'
    )
    SELECT line FROM (
      SELECT 1 AS kind, r.relname AS name, a.attnum::text AS part,
             format('column %s.%s %s%s%s%s', r.relname, a.attname, format_type(a.atttypid, a.atttypmod),
                    CASE WHEN a.attcollation <> 0 THEN ' collate ' || (SELECT collname FROM pg_collation WHERE oid = a.attcollation) END,
                    CASE WHEN a.attnotnull THEN ' not null' END,
                    (SELECT ' default ' || pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum)) AS line
        FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid WHERE r.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
      UNION ALL
      SELECT 2, r.relname, k.conname, format('constraint %s.%s %s', r.relname, k.conname, pg_get_constraintdef(k.oid))
        FROM relation r JOIN pg_constraint k ON k.conrelid = r.oid WHERE k.contype <> 'n'
      UNION ALL
      SELECT 3, r.relname, i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
        FROM relation r JOIN pg_index i ON i.indrelid = r.oid
      UNION ALL
      SELECT 4, r.relname, g.tgname, format('%s; enabled %s', pg_get_triggerdef(g.oid), g.tgenabled)
        FROM relation r JOIN pg_trigger g ON g.tgrelid = r.oid WHERE NOT g.tgisinternal
      UNION ALL
      SELECT 5, r.relname, '', format('view %s%s%s', r.relname, E'\n', pg_get_viewdef(r.oid)) FROM relation r WHERE r.relkind = 'v'
      UNION ALL
      SELECT 6, p.proname, '', pg_get_functiondef(p.oid) FROM pg_proc p WHERE p.pronamespace = 'clocktick'::regnamespace
         AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    ) object ORDER BY kind, name COLLATE "C", CASE kind WHEN 1 THEN lpad(part, 4, '0') ELSE part END COLLATE "C"`;
  });
  return `${rows.map((row) => row.line.trimEnd()).join('\n')}\n`;
}
