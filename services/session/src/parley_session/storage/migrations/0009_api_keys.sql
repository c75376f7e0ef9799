-- expand
-- API keys: the events of each, how each stands, and the outbox of their own topic.

CREATE TABLE api_keys (
    stream_id uuid PRIMARY KEY, -- the id of the key
    tenant text NOT NULL,
    owner text NOT NULL,
    name text NOT NULL, -- not in the events: its owner typed it
    secret_digest bytea NOT NULL, -- SHA-256 of 32 random bytes
    scopes text[] NOT NULL,
    models text[], -- null: all
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz, -- by the clock of the database
    last_used_on date,
    sequence integer NOT NULL -- of the last event
);

CREATE INDEX api_keys_of_person ON api_keys (tenant, owner, revoked_at);
CREATE INDEX api_keys_revoked ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;

CREATE TABLE api_key_events (
    stream_id uuid NOT NULL,
    sequence integer NOT NULL,
    id uuid NOT NULL,
    type text NOT NULL,
    time timestamptz NOT NULL,
    data json NOT NULL, -- byte for byte the value of the record in the log
    traceparent text,
    PRIMARY KEY (stream_id, sequence)
);

CREATE TABLE api_key_outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream_id uuid NOT NULL,
    sequence integer NOT NULL,
    bytes integer NOT NULL
);
