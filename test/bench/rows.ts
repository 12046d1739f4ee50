/*
 * What a user would pick instead: one table of what is, one of whole rows that were, kept by a trigger, with the best index for
 * each question that the bench asks.
 */
export const ROWS = `
  CREATE SCHEMA rows;
  CREATE TABLE rows.thing (
    id uuid PRIMARY KEY, type text COLLATE "C" NOT NULL, key text COLLATE "C", tick int NOT NULL, properties jsonb NOT NULL, at timestamptz NOT NULL);
  CREATE INDEX ON rows.thing (type, key, id);
  CREATE INDEX ON rows.thing (type, (properties ->> 'place'));
  CREATE TABLE rows.past (
    id uuid NOT NULL, type text COLLATE "C" NOT NULL, key text COLLATE "C", tick int NOT NULL, properties jsonb NOT NULL, at timestamptz NOT NULL,
    until timestamptz NOT NULL, PRIMARY KEY (id, at));
  CREATE INDEX ON rows.past (type, (properties ->> 'place'), at);

  CREATE FUNCTION rows.keep() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    new.tick := old.tick + 1;
    new.at := greatest(clock_timestamp(), old.at + interval '1 microsecond');
    INSERT INTO rows.past VALUES (old.id, old.type, old.key, old.tick, old.properties, old.at, new.at);
    RETURN new;
  END
  $$;
  CREATE TRIGGER keep BEFORE UPDATE ON rows.thing FOR EACH ROW EXECUTE FUNCTION rows.keep();

  -- Only to write the data: by index, whatever a plan was made for while the tables were empty.
  CREATE FUNCTION rows.apply(changes jsonb) RETURNS void LANGUAGE sql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    INSERT INTO rows.thing
    SELECT c.id, c.type, c.key, 1, c.set, clock_timestamp()
      FROM jsonb_to_recordset(changes) c (id uuid, expected int, type text, key text, set jsonb) WHERE c.expected = 0;
    UPDATE rows.thing t SET properties = t.properties || c.set
      FROM jsonb_to_recordset(changes) c (id uuid, expected int, set jsonb) WHERE c.expected > 0 AND t.id = c.id;
  $$;`;
