import type postgres from 'postgres';

/*
 * Rows of a past, written as they are instead of change by change: those that the write function would have made, which takes a
 * minute for 20,000 ticks of one entity. The guards would refuse them.
 */

/** Does work while no trigger of these tables of the service fires; then each fires always again, as a migration leaves it. */
export async function withoutTriggers(
  sql: postgres.ISql,
  tables: readonly string[],
  work: () => Promise<void>,
): Promise<void> {
  for (const table of tables) await sql.unsafe(`ALTER TABLE clocktick.${table} DISABLE TRIGGER USER`);
  await work();
  const triggers = await sql<{ table: string; trigger: string }[]>`
    SELECT g.tgrelid::regclass::text AS table, quote_ident(g.tgname) AS trigger
      FROM unnest(${[...tables]}::text[]) name
      JOIN pg_trigger g ON g.tgrelid = ('clocktick.' || name)::regclass AND NOT g.tgisinternal`;
  for (const { table, trigger } of triggers) await sql.unsafe(`ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${trigger}`);
}

/** Does work while these tables have no indexes, and makes them afterwards, in the order in which they were made. */
export async function withoutIndexes(
  sql: postgres.ISql,
  tables: readonly string[],
  work: () => Promise<void>,
): Promise<void> {
  const indexes = await sql<{ name: string; definition: string; relation: string; key: string | null }[]>`
    SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS definition,
           i.indrelid::regclass::text AS relation, k.conname || ' ' || pg_get_constraintdef(k.oid) AS key
      FROM unnest(${[...tables]}::text[]) name JOIN pg_index i ON i.indrelid = name::regclass
      LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid
     ORDER BY i.indexrelid`;
  for (const { name, relation, key } of indexes)
    await sql.unsafe(key ? `ALTER TABLE ${relation} DROP CONSTRAINT ${key.split(' ')[0]}` : `DROP INDEX ${name}`);
  await work();
  for (const { definition, relation, key } of indexes)
    await sql.unsafe(key ? `ALTER TABLE ${relation} ADD CONSTRAINT ${key}` : definition);
}

/**
 * Vacuums and analyzes all of it, so that plans are those of a table at rest. The server of the tests does not wait for commits
 * (synchronous_commit is off); what may not be on disk yet a vacuum does not take for settled, and an index would not answer alone.
 */
export async function vacuum(sql: postgres.Sql): Promise<void> {
  const own = await sql.reserve();
  await own`SET synchronous_commit = on`;
  await own`CHECKPOINT`;
  await own`VACUUM ANALYZE`;
  await own`RESET synchronous_commit`;
  own.release();
}

/** Takes all ranges as a restored backup does: from their text, by the same constraints. @throws where it could not be restored */
export async function restoreRanges(sql: postgres.Sql): Promise<void> {
  await sql`CREATE TABLE restored (LIKE clocktick.property_history INCLUDING CONSTRAINTS)`;
  await sql`
    INSERT INTO restored (entity_id, type, property, vclock, short_value, long_value, effective)
    SELECT entity_id, type, property, vclock, short_value::text::jsonb, long_value::text::jsonb, effective
      FROM clocktick.property_history`;
  await sql`DROP TABLE restored`;
}
