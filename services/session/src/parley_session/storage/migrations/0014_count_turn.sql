-- expand
-- A turn counts, also if the old counts of its person are deleted at the same time.

-- Counts a turn, unless a limit is reached: then it returns the place of the subject, the limit and
-- the seconds until its window ends, and counts nothing. A null stands for no limit; the subjects
-- are in order, so that no two calls wait for each other.
-- Each of its statements sees what was committed before it: the rows are locked first, so that
-- concurrent turns of one person are counted one after the other.
CREATE OR REPLACE FUNCTION count_turn(
    of_tenant text,
    turn uuid, -- null: a completion, which has no turn
    of_subjects text[],
    max_minute_turns integer[],
    max_open_turns integer[],
    max_minute_tokens bigint[],
    max_day_tokens bigint[]
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    counts turn_counts;
    this_minute timestamptz;
    this_day timestamptz;
    until_next_minute numeric;
BEGIN
    FOR place IN 1 .. cardinality(of_subjects) LOOP
        -- An old row may be deleted between the two statements.
        LOOP
            INSERT INTO turn_counts (tenant, subject)
                VALUES (of_tenant, of_subjects[place]) ON CONFLICT DO NOTHING;
            SELECT * INTO counts FROM turn_counts
                WHERE tenant = of_tenant AND subject = of_subjects[place] FOR UPDATE;
            EXIT WHEN FOUND;
        END LOOP;
        -- After the lock: the minute may have ended while it was awaited.
        this_minute := date_trunc('minute', clock_timestamp());
        this_day := date_trunc('day', clock_timestamp(), 'UTC');
        until_next_minute := 60 - extract(second FROM clock_timestamp());
        IF counts.minute < this_minute THEN
            counts.minute_turns := 0;
            counts.minute_tokens := 0;
        END IF;
        IF counts.day < this_day THEN
            counts.day_tokens := 0;
        END IF;
        IF counts.day_tokens >= max_day_tokens[place] THEN
            RETURN place || ' tokens_per_day '
                || extract(epoch FROM this_day + interval '1 day' - clock_timestamp());
        ELSIF counts.minute_tokens >= max_minute_tokens[place] THEN
            RETURN place || ' tokens_per_minute ' || until_next_minute;
        ELSIF counts.minute_turns >= max_minute_turns[place] THEN
            RETURN place || ' turns_per_minute ' || until_next_minute;
        ELSIF max_open_turns[place] IS NOT NULL AND max_open_turns[place] <= (
            SELECT count(*) FROM turns
            WHERE id = ANY (counts.open_turns) AND ended_sequence IS NULL
        ) THEN
            RETURN place || ' open_turns 1';
        END IF;
    END LOOP;
    UPDATE turn_counts SET
        minute_turns = CASE WHEN minute < this_minute THEN 0 ELSE minute_turns END + 1,
        minute_tokens = CASE WHEN minute < this_minute THEN 0 ELSE minute_tokens END,
        minute = greatest(minute, this_minute),
        day_tokens = CASE WHEN day < this_day THEN 0 ELSE day_tokens END,
        day = greatest(day, this_day),
        open_turns = CASE
            WHEN turn IS NULL THEN open_turns
            WHEN max_open_turns[array_position(of_subjects, subject)] IS NULL THEN '{}'
            ELSE array(
                SELECT id FROM turns WHERE id = ANY (open_turns) AND ended_sequence IS NULL
            ) || turn
        END
    WHERE tenant = of_tenant AND subject = ANY (of_subjects);
    RETURN NULL;
END
$$;
