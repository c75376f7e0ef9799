-- What the jobs and lists of sessions need to know without a key.

-- `erase_at`: of a temporary session its end, of a deleted one the end of the undelete window.
ALTER TABLE sessions
    ADD COLUMN erase_at timestamptz,
    ADD COLUMN deleted boolean NOT NULL DEFAULT false,
    ADD COLUMN deleted_at timestamptz,
    ADD COLUMN archived boolean NOT NULL DEFAULT false,
    ADD COLUMN held boolean NOT NULL DEFAULT false, -- by a legal hold
    ADD COLUMN erased_at timestamptz;

CREATE INDEX sessions_to_erase ON sessions (erase_at) WHERE erase_at IS NOT NULL;
-- What was deleted or erased in the last minute: every runner asks twice a second.
CREATE INDEX sessions_deleted ON sessions (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX sessions_erased ON sessions (erased_at) WHERE erased_at IS NOT NULL;

-- They go with their session.
CREATE INDEX remembered_requests_of_session ON remembered_requests (session_id);

-- One key per person, under which the words of their messages are indexed; gone with the person.
CREATE TABLE search_keys (
    tenant text NOT NULL,
    owner text NOT NULL,
    wrapped_key bytea NOT NULL,
    PRIMARY KEY (tenant, owner)
);
