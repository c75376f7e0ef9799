-- The assistants: the events of each, how each stands, and the outbox of their own topic.

CREATE TABLE assistants (
    stream_id uuid PRIMARY KEY,
    tenant text, -- null: every tenant's
    id text NOT NULL,
    sequence integer NOT NULL, -- of the last event: what an append compares and sets
    version integer NOT NULL, -- the sequence of the last event that defined it as a whole
    is_default boolean NOT NULL,
    retired boolean NOT NULL,
    place bigint GENERATED ALWAYS AS IDENTITY UNIQUE -- in lists
);

CREATE INDEX assistants_by_id ON assistants (id, tenant);
CREATE INDEX assistants_of_tenant ON assistants (tenant, place) WHERE NOT retired;

CREATE TABLE assistant_events (
    stream_id uuid NOT NULL,
    sequence integer NOT NULL,
    id uuid NOT NULL,
    type text NOT NULL,
    time timestamptz NOT NULL,
    data json NOT NULL, -- byte for byte the value of the record in the log
    traceparent text,
    PRIMARY KEY (stream_id, sequence)
);

CREATE TABLE assistant_outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream_id uuid NOT NULL,
    sequence integer NOT NULL,
    bytes integer NOT NULL
);
