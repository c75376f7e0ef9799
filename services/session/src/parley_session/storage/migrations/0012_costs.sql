-- expand
-- What replies cost, and what running ones may still cost: both count towards budgets.

-- One row per day and subject that counted a reply. In millionths of a micro-unit, which is exact:
-- tokens times a price in micro-units per million tokens.
CREATE TABLE daily_costs (
    tenant text NOT NULL,
    subject text NOT NULL, -- as in turn_counts
    day date NOT NULL, -- in UTC, of the event that ended the reply
    cost numeric NOT NULL,
    PRIMARY KEY (tenant, subject, day)
) WITH (fillfactor = 50);

CREATE INDEX daily_costs_by_day ON daily_costs (day);

-- What a turn or a completion that runs may cost.
CREATE TABLE cost_reservations (
    id uuid NOT NULL, -- of the turn or the completion
    tenant text NOT NULL,
    subject text NOT NULL,
    cost numeric NOT NULL,
    expires_at timestamptz NOT NULL, -- infinity: when the turn ends
    PRIMARY KEY (id, subject)
);

CREATE INDEX cost_reservations_of_subject ON cost_reservations (tenant, subject);

-- The subjects to which a completion without a session was counted; null: none, or no completion.
ALTER TABLE sessions ADD COLUMN completion_subjects text[];

-- What was counted for a reply that ended without its usage: what was reserved. Null: its usage.
ALTER TABLE turns ADD COLUMN unknown_cost numeric;

-- Like count_turn, for subjects with budgets: also refuses what may cost more than is left of one,
-- and reserves it. Such a refusal ends with what was spent and reserved.
CREATE FUNCTION count_priced_turn(
    of_tenant text,
    turn uuid,
    of_subjects text[],
    max_minute_turns integer[],
    max_open_turns integer[],
    max_minute_tokens bigint[],
    max_day_tokens bigint[],
    max_day_costs numeric[],
    max_month_costs numeric[],
    reservation uuid,
    reserved_cost numeric,
    lease interval
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    now_utc timestamp;
    this_month timestamp;
    day_cost numeric;
    month_cost numeric;
    reserved numeric;
    refusal text;
BEGIN
    FOR place IN 1 .. cardinality(of_subjects) LOOP
        -- Costs of the subject change under this lock alone. An old row may be deleted meanwhile.
        LOOP
            INSERT INTO turn_counts (tenant, subject)
                VALUES (of_tenant, of_subjects[place]) ON CONFLICT DO NOTHING;
            PERFORM FROM turn_counts
                WHERE tenant = of_tenant AND subject = of_subjects[place] FOR UPDATE;
            EXIT WHEN FOUND;
        END LOOP;
        CONTINUE WHEN max_day_costs[place] IS NULL AND max_month_costs[place] IS NULL;
        now_utc := clock_timestamp() AT TIME ZONE 'UTC';
        this_month := date_trunc('month', now_utc);
        SELECT coalesce(sum(cost) FILTER (WHERE day = now_utc::date), 0), coalesce(sum(cost), 0)
            INTO day_cost, month_cost FROM daily_costs
            WHERE tenant = of_tenant AND subject = of_subjects[place] AND day >= this_month::date;
        SELECT coalesce(sum(cost), 0) INTO reserved FROM cost_reservations
            WHERE tenant = of_tenant AND subject = of_subjects[place]
                AND expires_at > clock_timestamp();
        IF month_cost + reserved + reserved_cost > max_month_costs[place] THEN
            RETURN place || ' cost_per_month '
                || extract(epoch FROM this_month + interval '1 month' - now_utc)
                || ' ' || month_cost || ' ' || reserved;
        ELSIF day_cost + reserved + reserved_cost > max_day_costs[place] THEN
            RETURN place || ' cost_per_day '
                || extract(epoch FROM date_trunc('day', now_utc) + interval '1 day' - now_utc)
                || ' ' || day_cost || ' ' || reserved;
        END IF;
    END LOOP;
    refusal := count_turn(of_tenant, turn, of_subjects, max_minute_turns, max_open_turns,
        max_minute_tokens, max_day_tokens);
    IF refusal IS NULL THEN
        INSERT INTO cost_reservations (id, tenant, subject, cost, expires_at)
            SELECT reservation, of_tenant, subject, reserved_cost,
                coalesce(clock_timestamp() + lease, 'infinity')
            FROM unnest(of_subjects) AS subject;
    END IF;
    RETURN refusal;
END
$$;

-- Adds the tokens and the cost of a reply to the subjects that counted it, and ends its reservation.
CREATE FUNCTION count_reply(
    of_tenant text,
    of_subjects text[],
    tokens bigint,
    reservation uuid,
    reply_cost numeric,
    ended_at timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- It locks the subjects.
    PERFORM count_tokens(of_tenant, of_subjects, tokens);
    INSERT INTO daily_costs AS counted (tenant, subject, day, cost)
        SELECT of_tenant, subject, (ended_at AT TIME ZONE 'UTC')::date, reply_cost
        FROM unnest(of_subjects) AS subject
        ON CONFLICT (tenant, subject, day) DO UPDATE SET cost = counted.cost + excluded.cost;
    DELETE FROM cost_reservations WHERE id = reservation;
END
$$;
