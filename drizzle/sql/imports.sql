-- Imports: how far each source is.
--
-- An import holds a lock of its session for as long as it runs, so that a source has one at a time, and so that one whose service has
-- died is known to be over. Should the lock be lost with its connection, and another import of the source begin, then the first one can
-- keep nothing more: each batch says in its own transaction whose it is.

-- The key of that lock (pg_try_advisory_lock).
CREATE OR REPLACE FUNCTION clocktick.import_lock(source text) RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN hashtextextended('clocktick import ' || source, 0);

-- Whether an import of the source is running, in whichever instance. pg_locks shows the two halves of the key.
CREATE OR REPLACE FUNCTION clocktick.import_runs(source text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN EXISTS (
  SELECT FROM pg_locks l
   WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
     AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
     AND (l.classid::bigint << 32) | l.objid::bigint = clocktick.import_lock(source)
);

-- Begins an import of a source: the watermark of the last one stays. Whoever calls it holds the lock.
CREATE OR REPLACE FUNCTION clocktick.begin_import(source text, id uuid, mode text) RETURNS SETOF clocktick.import
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  INSERT INTO clocktick.import AS i (source, id, mode, status, started_at, updated_at)
  VALUES (begin_import.source, begin_import.id, begin_import.mode, 'running', clock_timestamp(), clock_timestamp())
  ON CONFLICT (source) DO UPDATE
     SET id = excluded.id, mode = excluded.mode, status = excluded.status, started_at = excluded.started_at,
         updated_at = excluded.updated_at, lines = 0, changed = 0, unchanged = 0, skipped = 0, ticks = 0
  RETURNING i.*;
END
$$;

-- Notes how far an import is, with the batch that it has written: in the same transaction. The numbers are those of the batch; a watermark
-- that is null stays as it was. Refuses (CT004) when another import of the source has begun since.
CREATE OR REPLACE FUNCTION clocktick.advance_import(
  source text, id uuid, lines bigint, changed bigint, unchanged bigint, skipped bigint, ticks bigint, watermark jsonb, status text
) RETURNS SETOF clocktick.import
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  UPDATE clocktick.import i
     SET lines = i.lines + advance_import.lines, changed = i.changed + advance_import.changed,
         unchanged = i.unchanged + advance_import.unchanged, skipped = i.skipped + advance_import.skipped,
         ticks = i.ticks + advance_import.ticks, watermark = coalesce(advance_import.watermark, i.watermark),
         status = advance_import.status, updated_at = clock_timestamp()
   WHERE i.source = advance_import.source AND i.id = advance_import.id
  RETURNING i.*;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'CT004', MESSAGE = 'another import of this source has begun';
  END IF;
END
$$;
