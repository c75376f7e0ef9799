-- The tables of one version: what the log says, projected; and how far the projection is, moved in
-- the same transactions. Their names are found along the search path, which names the version.

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
    title bytea, -- sealed, for the event that brought it
    title_event_id uuid,
    metadata bytea,
    metadata_event_id uuid,
    open_turn_id uuid,
    open_turn_message_id uuid,
    leaf_message_id uuid, -- the newest message
    linear boolean NOT NULL, -- each message follows the one before it
    archived boolean NOT NULL,
    deleted boolean NOT NULL, -- it can be restored
    held boolean NOT NULL, -- by a legal hold
    erased_at timestamptz, -- of a tombstone: nothing that was said is left of it
    expires_at timestamptz, -- of a temporary one
    forked_from_session_id uuid,
    forked_from_message_id uuid
) WITH (fillfactor = 80);

-- One row per message; what was said stays sealed, for the event that brought it. Its keys are in
-- keys.sql.
CREATE TABLE messages (
    session_id uuid NOT NULL,
    version integer NOT NULL, -- the sequence of the event that brought it
    id uuid NOT NULL,
    event_id uuid NOT NULL,
    turn_id uuid,
    parent_id uuid,
    role text NOT NULL,
    status text NOT NULL,
    created_at timestamptz NOT NULL, -- the time of that event
    content bytea, -- null: a reply that never had any text
    original_time timestamptz, -- when an imported one was said
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

-- What a day of a session cost, of one model and in one currency. It stays when the session is erased.
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
    estimated_tokens bigint NOT NULL, -- of both kinds, where Parley estimated them
    cost numeric NOT NULL, -- tokens times price, exact: micro-units times a million
    UNIQUE NULLS NOT DISTINCT (session_id, day, model, currency)
) WITH (fillfactor = 80);

-- Events that came before the one that precedes them, as they are in the log.
CREATE TABLE held_events (
    session_id uuid NOT NULL,
    sequence integer NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    key bytea NOT NULL,
    headers json NOT NULL, -- [[name, base64 of the value], …]
    value bytea NOT NULL,
    PRIMARY KEY (session_id, sequence)
);

-- Records that were not applied. A session that is named here is parked: nothing more of it is applied.
CREATE TABLE dead_letters (
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    session_id uuid, -- null when the key names none
    error text NOT NULL,
    key bytea NOT NULL,
    headers json NOT NULL,
    value bytea NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, "offset")
);

CREATE INDEX dead_letters_of_session ON dead_letters (session_id);
