-- The read model in versions, each with tables of its own in the schema read_model_<version> (see
-- parley_history.versions). What was projected so far is made again from the log.

DROP TABLE positions, sessions, messages, held_events, dead_letters;

CREATE TABLE read_models (
    version integer PRIMARY KEY,
    began_at timestamptz NOT NULL DEFAULT now(),
    indexed_at timestamptz, -- null while it is built
    activated_at timestamptz -- null: nobody ever read it
);

-- The version that is projected into and read. Whoever writes to it locks this row FOR SHARE.
CREATE TABLE active_read_model (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version integer NOT NULL REFERENCES read_models
);

-- Records that change nothing, by decision: beside the log, the second input of every version.
CREATE TABLE discarded_records (
    digest bytea PRIMARY KEY, -- of key, headers and value: the place changes with a new topic
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    session_id uuid, -- null when the key names none
    error text NOT NULL,
    reason text NOT NULL,
    key bytea NOT NULL,
    headers json NOT NULL,
    value bytea NOT NULL,
    discarded_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX discarded_records_of_session ON discarded_records (session_id);
