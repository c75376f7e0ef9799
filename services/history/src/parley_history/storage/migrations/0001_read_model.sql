-- The read side: what the log says, projected; and how far the projection is, moved in the same transactions.

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
    open_turn_message_id uuid
) WITH (fillfactor = 80);

-- One row per message; what was said stays sealed, for the event that brought it.
CREATE TABLE messages (
    session_id uuid NOT NULL,
    version integer NOT NULL, -- the sequence of the event that brought it
    id uuid NOT NULL,
    event_id uuid NOT NULL,
    turn_id uuid,
    parent_id uuid,
    role text NOT NULL,
    status text NOT NULL,
    created_at timestamptz NOT NULL,
    content bytea, -- null: a reply that never had any text
    model text,
    finish_reason text,
    prompt_tokens integer,
    completion_tokens integer,
    tokens_estimated boolean,
    price_currency text,
    price_prompt bigint, -- micro-units per million tokens
    price_completion bigint,
    error_code text,
    error_details bytea,
    PRIMARY KEY (session_id, version),
    UNIQUE (session_id, id)
);

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
