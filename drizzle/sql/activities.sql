-- Activities: how they are found by the words of their reasons.

-- The words of a reason, in small letters; none has an ending taken off, because nobody knows its language. (`words` stands in the expression
-- of an index: values.sql says what that asks of it.)
--
-- Punctuation and symbols separate words: those of ASCII, of Latin-1, of the blocks of Unicode that hold them, and emoji. They are listed,
-- because what a server takes for a letter depends on its locale: under that of C it is everything beyond ASCII, so „Berlin“ and Berlin would
-- be two words. And PostgreSQL itself reads `OPS-123` as a word and a negative number, `a.b/c` as a path, and leaves out what looks like a
-- tag: whoever looks for 123 would find none of them.
CREATE OR REPLACE FUNCTION clocktick.words(reason text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_tsvector('simple'::regconfig, regexp_replace(reason COLLATE "C", '[!-/:-@[-`{-~\u0080-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u2000-\u206f\u2190-\u2bff\u3000-\u3004\u3008-\u303f\ufe00-\ufe0f\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\U0001f000-\U0001faff]+', ' ', 'g'));

-- What finds the reasons that have all words of a text, which are data: no operator, quote or wildcard among them means anything. The same
-- separates them. Without a word it is empty (numnode).
CREATE OR REPLACE FUNCTION clocktick.words_asked(reason text) RETURNS tsquery
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN plainto_tsquery('simple'::regconfig, regexp_replace(reason COLLATE "C", '[!-/:-@[-`{-~\u0080-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u2000-\u206f\u2190-\u2bff\u3000-\u3004\u3008-\u303f\ufe00-\ufe0f\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\U0001f000-\U0001faff]+', ' ', 'g'));

-- Which activities have a word. What is new waits in a list, which every search goes through, until whoever makes it longer than the limit
-- (kB) puts it in its places. A short one holds no writer up for long (src/guide/figures.md).
CREATE INDEX IF NOT EXISTS activity_words ON clocktick.activity USING gin (clocktick.words(reason))
  WITH (fastupdate = on, gin_pending_list_limit = 64) WHERE reason IS NOT NULL;

-- Up to `most` activities whose reasons have all words of a text, in no order. It has settings of its own, because the statement that asks
-- it goes through everything else in order, and a GIN has none.
CREATE OR REPLACE FUNCTION clocktick.activities_with_words(reason text, most integer) RETURNS TABLE (id uuid, recorded_at timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = on AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT a.id, a.recorded_at FROM clocktick.activity a
   WHERE a.reason IS NOT NULL AND clocktick.words(a.reason) @@ clocktick.words_asked(activities_with_words.reason)
   LIMIT activities_with_words.most;
END
$$;
