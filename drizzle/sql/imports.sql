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

-- Begins an import of a source: the watermark of the last one stays. Whoever calls it holds the lock. A replace-all that is unfinished goes on
-- in the same mode; any other mode gives it up.
CREATE OR REPLACE FUNCTION clocktick.begin_import(source text, id uuid, mode text) RETURNS SETOF clocktick.import
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  INSERT INTO clocktick.import AS i (source, id, mode, status, started_at, updated_at)
  VALUES (begin_import.source, begin_import.id, begin_import.mode, 'running', clock_timestamp(), clock_timestamp())
  ON CONFLICT (source) DO UPDATE
     SET id = excluded.id, mode = excluded.mode, status = excluded.status, started_at = excluded.started_at,
         updated_at = excluded.updated_at, lines = 0, changed = 0, unchanged = 0, skipped = 0, ticks = 0, deleted = 0,
         unfinished_since = CASE WHEN excluded.mode = 'replace-all' THEN i.unfinished_since END,
         left_out = CASE WHEN excluded.mode = 'replace-all' THEN i.left_out ELSE 0 END
  RETURNING i.*;
END
$$;

-- Begins a replace-all anew, when nothing is left of what an older one has seen (forget_seen). It is told no watermark, because it goes on with
-- nothing. What others create from now on is theirs. Now is no later than the caller believes: by a clock that has jumped ahead all that they create
-- in the next days would have been there before.
CREATE OR REPLACE FUNCTION clocktick.begin_replace_all(source text, id uuid, not_after timestamptz) RETURNS SETOF clocktick.import
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  UPDATE clocktick.import i
     SET unfinished_since = least(clock_timestamp(), not_after), left_out = 0, watermark = NULL, updated_at = clock_timestamp()
   WHERE i.source = begin_replace_all.source AND i.id = begin_replace_all.id
  RETURNING i.*;
END
$$;

-- Notes which entities lines have named, in the transaction that writes them. Entities that were seen already cost a look each: that is why
-- they come in the order of the key.
CREATE OR REPLACE FUNCTION clocktick.see_entities(source text, types text[], ids uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO clocktick.import_seen (source, type, entity_id)
  SELECT see_entities.source, named.type, named.id FROM unnest(types, ids) named (type, id) ORDER BY named.type, named.id
  ON CONFLICT DO NOTHING;
END
$$;

-- Forgets some of what was seen for a source of which no replace-all is unfinished, and says how much: a million rows in one transaction would
-- hold the stable instant back.
CREATE OR REPLACE FUNCTION clocktick.forget_seen(source text, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE forgotten bigint;
BEGIN
  IF EXISTS (SELECT FROM clocktick.import i WHERE i.source = forget_seen.source AND i.unfinished_since IS NOT NULL) THEN
    RETURN 0;
  END IF;
  DELETE FROM clocktick.import_seen s
   WHERE s.ctid = ANY (ARRAY(SELECT s.ctid FROM clocktick.import_seen s WHERE s.source = forget_seen.source LIMIT most));
  GET DIAGNOSTICS forgotten = ROW_COUNT;
  RETURN forgotten;
END
$$;

-- Notes how far an import is, with the batch that it has written: in the same transaction. The numbers are those of the batch; a watermark
-- that is null stays as it was. With `is_whole` a replace-all has come to its clean end. One that is done without that stays unfinished, and
-- the lines that were left out are told: they count no more. Refuses (CT004) when another import of the source has begun since.
CREATE OR REPLACE FUNCTION clocktick.advance_import(
  source text, id uuid, lines bigint, changed bigint, unchanged bigint, skipped bigint, ticks bigint, deleted bigint, watermark jsonb,
  status text, is_whole boolean
) RETURNS SETOF clocktick.import
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  UPDATE clocktick.import i
     SET lines = i.lines + advance_import.lines, changed = i.changed + advance_import.changed,
         unchanged = i.unchanged + advance_import.unchanged, skipped = i.skipped + advance_import.skipped,
         ticks = i.ticks + advance_import.ticks, deleted = i.deleted + advance_import.deleted,
         watermark = coalesce(advance_import.watermark, i.watermark), status = advance_import.status, updated_at = clock_timestamp(),
         unfinished_since = CASE WHEN advance_import.is_whole THEN NULL ELSE i.unfinished_since END,
         left_out = CASE WHEN advance_import.status = 'done' OR i.unfinished_since IS NULL THEN 0
                         ELSE i.left_out + advance_import.skipped END
   WHERE i.source = advance_import.source AND i.id = advance_import.id
  RETURNING i.*;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'CT004', MESSAGE = 'another import of this source has begun';
  END IF;
END
$$;
