-- The key from which the ids of sessions that are started without one are derived. It is made once
-- and never changes: a retry must derive the same id.
CREATE TABLE installation_key (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    wrapped_key bytea NOT NULL
);
