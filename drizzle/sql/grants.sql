-- Grants: what the role of the service may do. It owns nothing, so it can switch nothing off, and it writes by the functions that run as the
-- owner alone: no guard has to trust it.
--
-- The role `clocktick_service` is a group, without a login. An administrator grants it to the role that the service logs in as. Roles belong
-- to all databases of a server: which of them a login may use is what CONNECT on the database says. Where the group does not exist yet
-- (migrate.ts makes it if it may), nobody but the owner may do anything here; a later migration grants what is missing.
--
-- This file comes last, and says all: what an older one granted, or somebody's hand, to the group or to everybody (PUBLIC), is taken back.
-- Other roles keep what they were granted. What belongs to an extension stays as that has it.
DO $$
DECLARE
  own text;
  grantees text := 'PUBLIC';
BEGIN
  IF to_regrole('clocktick_service') IS NOT NULL THEN
    grantees := 'PUBLIC, clocktick_service';
  END IF;
  FOR own IN
    SELECT 'SCHEMA clocktick'
    UNION ALL
    SELECT format('%s %s', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass)
      FROM pg_class c
     WHERE c.relnamespace = 'clocktick'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND pg_has_role(c.relowner, 'USAGE')
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    UNION ALL
    SELECT format('ROUTINE %s', p.oid::regprocedure)
      FROM pg_proc p
     WHERE p.pronamespace = 'clocktick'::regnamespace AND pg_has_role(p.proowner, 'USAGE')
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s', own, grantees);
  END LOOP;

  IF to_regrole('clocktick_service') IS NULL THEN
    RETURN;
  END IF;

  GRANT USAGE ON SCHEMA clocktick TO clocktick_service;
  GRANT SELECT ON
    -- what is recorded
    clocktick.entity, clocktick.tick, clocktick.property_history, clocktick.property_range, clocktick.activity,
    -- what it is found by
    clocktick.open_value, clocktick.item_history,
    -- how far imports are
    clocktick.import, clocktick.import_seen,
    -- what the database was brought up to date with
    clocktick.migration, clocktick.definition
  TO clocktick_service;
  GRANT EXECUTE ON FUNCTION
    -- what runs as the owner: all that the service changes, and who holds the stable instant back
    clocktick.write_changes(jsonb, boolean, timestamptz, timestamptz, boolean), clocktick.lock_entity, clocktick.lock_entities, clocktick.lock_definition, clocktick.record_activity, clocktick.keep_promise, clocktick.stable_instant,
    clocktick.begin_import, clocktick.begin_replace_all, clocktick.see_entities, clocktick.forget_seen, clocktick.advance_import,
    -- imports.sql
    clocktick.import_lock, clocktick.import_runs,
    -- values.sql
    clocktick.value_key, clocktick.element_key, clocktick.name_key, clocktick.many_key, clocktick.items_of,
    -- activities.sql
    clocktick.words, clocktick.words_asked, clocktick.activities_with_words,
    -- reads.sql
    clocktick.closed_ranges, clocktick.closed_range_at, clocktick.at_of, clocktick.open_range_of, clocktick.open_range,
    clocktick.open_ranges_of, clocktick.was_set, clocktick.range_at, clocktick.ranges_in, clocktick.value_at, clocktick.closed_names,
    clocktick.closed_ranges_of, clocktick.tick_at, clocktick.tick_from, clocktick.state_at, clocktick.state_as_of, clocktick.properties_at,
    clocktick.since_at, clocktick.provenance_at,
    clocktick.all_properties, clocktick.untracked_at, clocktick.untracked_names, clocktick.chosen, clocktick.changes_between, clocktick.changes_at, clocktick.changed_at,
    clocktick.activity_text, clocktick.instant_text, clocktick.entity_text,
    clocktick.range_text, clocktick.types, clocktick.newest_change, clocktick.imported_since, clocktick.passing, clocktick.search_keys,
    clocktick.holders
  TO clocktick_service;
END
$$;
