-- The write side: sessions and their events, and the outbox that the relay empties into the log.

-- One row per session: its version is what an append compares and sets.
CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    owner text NOT NULL,
    assistant_id text NOT NULL,
    version integer NOT NULL,
    updated_at timestamptz NOT NULL,
    wrapped_key bytea -- null once the session is erased
) WITH (fillfactor = 80);

-- Without updated_at, so that an append stays a heap-only update.
CREATE INDEX sessions_of_person ON sessions (tenant, owner, assistant_id);

CREATE TABLE events (
    session_id uuid NOT NULL,
    sequence integer NOT NULL,
    id uuid NOT NULL,
    type text NOT NULL,
    time timestamptz NOT NULL,
    data json NOT NULL, -- byte for byte the value of the record in the log
    traceparent text,
    PRIMARY KEY (session_id, sequence)
);

-- A queue: read from its front, deleted when the log has acknowledged.
CREATE TABLE outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id uuid NOT NULL,
    sequence integer NOT NULL,
    bytes integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE TABLE turns (
    id uuid PRIMARY KEY,
    session_id uuid NOT NULL,
    message_sequence integer NOT NULL,
    requested_sequence integer NOT NULL,
    ended_sequence integer,
    opened_at timestamptz NOT NULL DEFAULT now(),
    runner uuid,
    claimed_at timestamptz,
    cancel_requested boolean NOT NULL DEFAULT false
) WITH (fillfactor = 80);

CREATE INDEX turns_open ON turns (opened_at) WHERE ended_sequence IS NULL;

-- The inference processes, and the turns that each said it runs.
CREATE TABLE runners (
    id uuid PRIMARY KEY,
    seen_at timestamptz NOT NULL,
    turns uuid[] NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE sweeper (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    last_tick timestamptz NOT NULL DEFAULT now(),
    quiet_until timestamptz NOT NULL DEFAULT now()
);

INSERT INTO sweeper DEFAULT VALUES;

-- `request` digests person, method, path and key; `fingerprint` is the body's HMAC under the session's key.
CREATE TABLE remembered_requests (
    request bytea PRIMARY KEY,
    session_id uuid NOT NULL,
    turn_id uuid,
    fingerprint bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX remembered_requests_by_age ON remembered_requests (created_at);
