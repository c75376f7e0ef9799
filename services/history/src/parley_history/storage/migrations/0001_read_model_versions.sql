-- Read-model versions. Each has a schema of its own, read_model_<version>, whose tables are in
-- parley_history/storage/versions/tables.sql.

CREATE TABLE read_models (
    version integer PRIMARY KEY,
    began_at timestamptz NOT NULL DEFAULT now(),
    indexed_at timestamptz, -- null while it is built
    activated_at timestamptz -- null: it was never read
);

-- The version that is projected into and read. Writers of the version lock this row FOR SHARE.
CREATE TABLE active_read_model (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version integer NOT NULL REFERENCES read_models
);

-- Records that an operator decided to skip: with the log, the input of every version.
CREATE TABLE discarded_records (
    digest bytea PRIMARY KEY, -- of key, headers and value: the position changes with a new topic
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    session_id uuid, -- null when the key is not a session id
    error text NOT NULL,
    reason text NOT NULL,
    key bytea NOT NULL,
    headers json NOT NULL,
    value bytea NOT NULL,
    discarded_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX discarded_records_of_session ON discarded_records (session_id);
