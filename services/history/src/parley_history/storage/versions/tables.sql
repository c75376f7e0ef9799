-- The tables of one read-model version: rows projected from the log, and the log positions, which
-- the same transactions update. The search path selects the schema of the version.

-- The offset of the next record to project, for each partition of the topic.
CREATE TABLE positions (
    partition integer PRIMARY KEY,
    next bigint NOT NULL
) WITH (fillfactor = 10);

-- `version` is the sequence of the last event that was applied, `last_event_id` its id.
CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    owner text NOT NULL,
    assistant_id text NOT NULL,
    assistant_version integer NOT NULL,
    version integer NOT NULL,
    last_event_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    title bytea, -- sealed with the id of the event in title_event_id
    title_event_id uuid,
    metadata bytea,
    metadata_event_id uuid,
    open_turn_id uuid,
    open_turn_message_id uuid,
    leaf_message_id uuid, -- the newest message
    linear boolean NOT NULL, -- each message follows the one before it
    archived boolean NOT NULL,
    deleted boolean NOT NULL, -- may be restored until it is erased
    held boolean NOT NULL, -- under legal hold
    erased_at timestamptz, -- set on a tombstone, which keeps no content
    expires_at timestamptz, -- set on a temporary session
    forked_from_session_id uuid,
    forked_from_message_id uuid
) WITH (fillfactor = 80);

-- One row per message; content is sealed with the id of the event that added it. Keys and indexes
-- are in keys.sql.
CREATE TABLE messages (
    session_id uuid NOT NULL,
    version integer NOT NULL, -- the sequence of the event that added it
    id uuid NOT NULL,
    event_id uuid NOT NULL,
    turn_id uuid,
    parent_id uuid,
    role text NOT NULL,
    status text NOT NULL,
    created_at timestamptz NOT NULL, -- the time of that event
    content bytea, -- null: a reply without any text
    original_time timestamptz, -- the time that an imported message claims
    model text,
    finish_reason text,
    prompt_tokens integer,
    completion_tokens integer,
    tokens_estimated boolean,
    price_currency text,
    price_prompt bigint, -- micro-units per million tokens
    price_completion bigint,
    error_code text,
    error_details bytea
);

-- Tokens and cost of a session by day, model and currency. Kept when the session is erased.
CREATE TABLE usage (
    session_id uuid NOT NULL,
    day date NOT NULL, -- of the events' time, in UTC
    model text NOT NULL,
    currency text, -- null: no price was known
    tenant text NOT NULL,
    owner text NOT NULL,
    assistant_id text, -- null: a completion without a conversation
    replies integer NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    estimated_tokens bigint NOT NULL, -- prompt and completion tokens that Parley estimated
    cost numeric NOT NULL, -- exact: tokens times price, in millionths of a micro-unit
    UNIQUE NULLS NOT DISTINCT (session_id, day, model, currency)
) WITH (fillfactor = 80);

-- Out-of-order events that wait for a missing predecessor, as raw log records.
CREATE TABLE deferred_events (
    session_id uuid NOT NULL,
    sequence integer NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    key bytea NOT NULL,
    headers json NOT NULL, -- [[name, base64 of the value], …]
    value bytea NOT NULL,
    PRIMARY KEY (session_id, sequence)
);

-- Records that were not applied. A session named here is parked: no further event of it is applied.
CREATE TABLE dead_letters (
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    session_id uuid, -- null when the key is not a session id
    error text NOT NULL,
    key bytea NOT NULL,
    headers json NOT NULL,
    value bytea NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, "offset")
);

CREATE INDEX dead_letters_of_session ON dead_letters (session_id);
