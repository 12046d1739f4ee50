-- The clock that readers can trust.

-- The stable instant: the newest instant such that no tick at or before it can still appear.
--
-- A stamp is taken before its transaction commits. So a reader could ask as of an instant and be answered, and then a writer that
-- was stamped before it commits: the same question would have another answer. But every writer owns its transaction id before it
-- stamps. So what is just older than this clock, and than the oldest beginning of a transaction that owns one, is settled for
-- every snapshot that is taken after this function has answered: by another statement, that is.
--
-- On a standby nobody owns an id, and what the primary writes comes later: nothing is stable there.
--
-- The order matters: a transaction that gets its id after the clock was read is stamped after that, and one that was prepared
-- meanwhile is found among the prepared ones. Their stamps are not known, nor that of a transaction whose beginning is hidden
-- from this role (without pg_read_all_stats) or not kept (track_activities off): `at` is null then.
--
-- It runs as the owner of the schema, who needs pg_read_all_stats then, or to be a member of all roles that write: no other role does.
--
--   at          the stable instant, or null
--   clock       the clock that was read first
--   promised    the newest instant that was stored as promised, or null
--   held_by     the process of the oldest transaction that owns an id; held_since its beginning, null where it is hidden
--   prepared    whether there is a prepared transaction
--   recovering  whether this is a standby
CREATE OR REPLACE FUNCTION clocktick.stable_instant(
  OUT at timestamptz, OUT clock timestamptz, OUT promised timestamptz,
  OUT held_by integer, OUT held_since timestamptz, OUT prepared boolean, OUT recovering boolean
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- What other transactions do is looked at once in a transaction, unless told so.
  PERFORM pg_stat_clear_snapshot();
  clock := clock_timestamp();
  SELECT a.pid, a.xact_start INTO held_by, held_since
    FROM pg_stat_get_activity(NULL) a
   WHERE a.datid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) AND a.backend_xid IS NOT NULL
   ORDER BY a.xact_start NULLS FIRST LIMIT 1;
  prepared := EXISTS (SELECT FROM pg_prepared_xacts p WHERE p.database = current_database());
  recovering := pg_is_in_recovery();
  IF NOT recovering AND NOT prepared AND (held_by IS NULL OR held_since IS NOT NULL) THEN
    at := least(clock, held_since) - interval '1 microsecond';
  END IF;
  SELECT p.at INTO promised FROM clocktick.promise p;
END
$$;

-- Promises that everything at or before an instant is stable, unless a newer one was.
CREATE OR REPLACE FUNCTION clocktick.keep_promise(at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO clocktick.promise AS p (at) VALUES (keep_promise.at)
      ON CONFLICT (is_only) DO UPDATE SET at = excluded.at WHERE p.at < excluded.at;
END
$$;

-- A promise far ahead would refuse every write until then, so there is none: that a clock is behind what was promised means that it has
-- stepped back since, which it does by seconds. An hour is more than any that is watched does.
CREATE OR REPLACE TRIGGER promise_is_written_by_owner BEFORE INSERT OR UPDATE ON clocktick.promise
  FOR EACH STATEMENT WHEN (NOT has_table_privilege('clocktick.promise'::regclass, 'TRIGGER'))
  EXECUTE FUNCTION clocktick.refuse('promises are kept by clocktick.keep_promise');
CREATE OR REPLACE TRIGGER promise_is_of_the_past BEFORE INSERT OR UPDATE ON clocktick.promise
  FOR EACH ROW WHEN (isfinite(new.at) AND new.at > clock_timestamp() + interval '1 hour')
  EXECUTE FUNCTION clocktick.refuse('what is promised to be stable lies in the past');

-- What was promised to be stable stays promised: the write function and the guards refuse any stamp before it.
CREATE OR REPLACE TRIGGER promise_only_grows BEFORE UPDATE ON clocktick.promise
  FOR EACH ROW WHEN (new.at < old.at OR new.is_only <> old.is_only)
  EXECUTE FUNCTION clocktick.refuse('what was promised stays promised');
CREATE OR REPLACE TRIGGER promise_is_kept BEFORE DELETE OR TRUNCATE ON clocktick.promise
  FOR EACH STATEMENT EXECUTE FUNCTION clocktick.refuse('what was promised stays promised');
ALTER TABLE clocktick.promise
  ENABLE ALWAYS TRIGGER promise_is_written_by_owner,
  ENABLE ALWAYS TRIGGER promise_is_of_the_past,
  ENABLE ALWAYS TRIGGER promise_only_grows,
  ENABLE ALWAYS TRIGGER promise_is_kept;

-- Takes back a promise that lies ahead of the clock, down to the clock. A clock that was wrong for long enough was believed, and until the
-- promised instant has come nothing can be written. Whoever was told of instants between the two may be told otherwise from then on.
--
-- It needs the right to alter the table, so only the owner can do it. While an instance is connected nobody can: it remembers what was
-- promised, and would promise it again.
CREATE OR REPLACE FUNCTION clocktick.take_promise_back(OUT promised timestamptz, OUT lowered_to timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = current_database() AND a.application_name = 'clocktick' AND a.pid <> pg_backend_pid()) THEN
    RAISE EXCEPTION USING ERRCODE = 'object_in_use', MESSAGE = 'an instance of clocktick is connected: stop all of them first';
  END IF;
  LOCK TABLE clocktick.promise IN ACCESS EXCLUSIVE MODE;
  SELECT p.at INTO promised FROM clocktick.promise p;
  IF promised > clock_timestamp() THEN
    lowered_to := clock_timestamp();
    ALTER TABLE clocktick.promise DISABLE TRIGGER promise_only_grows;
    UPDATE clocktick.promise SET at = lowered_to;
    ALTER TABLE clocktick.promise ENABLE ALWAYS TRIGGER promise_only_grows;
  END IF;
END
$$;
