import { getTableConfig, type PgTable } from 'drizzle-orm/pg-core';
import type postgres from 'postgres';

/** An object of the schema, as `kind name`; the name of a trigger is `table.name`. `source` is the body of a function. */
export type Defined = { object: string; source?: string };

/** What a file of drizzle/sql defines, in its order. */
export function definedIn(text: string): Defined[] {
  const sql = text.replaceAll(/^ *--.*$/gm, (comment) => ' '.repeat(comment.length));
  const found = (pattern: RegExp, object: (match: RegExpExecArray) => Defined) =>
    [...sql.matchAll(pattern)].map((match) => ({ index: match.index, ...object(match) }));
  return [
    ...found(
      /^CREATE OR REPLACE FUNCTION clocktick\.(\w+)\([^$;]*(\$\$|;)/gm,
      ({ 0: head, 1: name, 2: end, index }) => {
        const from = index + head.length;
        // One that RETURN says has no text.
        return {
          object: `function ${name}`,
          ...(end === '$$' && { source: text.slice(from, text.indexOf('$$', from)) }),
        };
      },
    ),
    ...found(/^CREATE OR REPLACE TRIGGER (\w+) [^;]*? ON clocktick\.(\w+)/gm, ({ 1: name, 2: table }) => ({
      object: `trigger ${table}.${name}`,
    })),
    ...found(/^CREATE OR REPLACE VIEW clocktick\.(\w+)/gm, ({ 1: name }) => ({ object: `view ${name}` })),
    ...found(/\bADD CONSTRAINT (\w+)/g, ({ 1: name }) => ({ object: `constraint ${name}` })),
    ...found(/^CREATE (?:UNIQUE )?INDEX IF NOT EXISTS (\w+)/gm, ({ 1: name }) => ({ object: `index ${name}` })),
  ]
    .toSorted((a, b) => a.index - b.index)
    .map(({ index: _, ...defined }) => defined);
}

/** The constraints and indexes of a table of Drizzle. */
export function definedBy(table: PgTable): Defined[] {
  const { name, columns, primaryKeys, uniqueConstraints, checks, indexes } = getTableConfig(table);
  const constraints = [
    ...columns.filter(({ primary }) => primary).map(() => `${name}_pkey`),
    ...primaryKeys.map((key) => key.getName()),
    ...uniqueConstraints.map((unique) => unique.getName()),
    ...checks.map((check) => check.name),
  ];
  return [
    ...constraints.map((constraint) => ({ object: `constraint ${constraint}` })),
    ...indexes.map(({ config }) => ({ object: `index ${config.name}` })),
  ];
}

/** What the database holds, without the table that records migrations. An index that belongs to a constraint counts as that. */
export const objectsOf = (sql: postgres.Sql) => sql<{ object: string; source: string | null }[]>`
  WITH relation AS (
    SELECT c.oid, c.relname, c.relkind FROM pg_class c
     WHERE c.relnamespace = 'clocktick'::regnamespace AND c.relname <> 'migration'
  )
  SELECT 'function ' || p.proname AS object, p.prosrc AS source
    FROM pg_proc p WHERE p.pronamespace = 'clocktick'::regnamespace
     AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
  UNION ALL
  SELECT 'trigger ' || r.relname || '.' || g.tgname, NULL
    FROM relation r JOIN pg_trigger g ON g.tgrelid = r.oid WHERE NOT g.tgisinternal
  UNION ALL
  SELECT 'view ' || r.relname, NULL FROM relation r WHERE r.relkind IN ('v', 'm')
  UNION ALL
  SELECT 'constraint ' || k.conname, NULL
    FROM relation r JOIN pg_constraint k ON k.conrelid = r.oid WHERE k.contype NOT IN ('n', 't')
  UNION ALL
  SELECT 'index ' || c.relname, NULL
    FROM relation r JOIN pg_index i ON i.indrelid = r.oid JOIN pg_class c ON c.oid = i.indexrelid
   WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)`;
