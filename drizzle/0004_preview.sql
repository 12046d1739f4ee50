-- Dry runs: what `write_changes` would answer, with nothing written.
--
-- The changes are really made, in a subtransaction that is then undone; rows that a function has returned stay returned. So
-- a dry run is refused by the same constraints and guards as the write would be, which no second implementation of them
-- could promise. Ticks and instants of the answer are those that the write would have had at that moment.
CREATE FUNCTION clocktick.preview_changes(
  ids uuid[], expected integer[], ops text[], types text[], keys text[],
  sets jsonb[], clears jsonb[], activity_ids uuid[], activities jsonb[], atomic boolean
) RETURNS TABLE (
  id uuid, written boolean, type text, key text, tick integer, deleted boolean,
  created_at timestamptz, updated_at timestamptz, properties jsonb
)
LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY
  SELECT * FROM clocktick.write_changes(
    ids, expected, ops, types, keys, sets, clears, activity_ids, activities, atomic);
  RAISE EXCEPTION 'only a preview' USING ERRCODE = 'CT000';
EXCEPTION WHEN SQLSTATE 'CT000' THEN
  NULL;
END
$$;
