-- The keys that a rebuild adds last: they cost less once the rows are there.

ALTER TABLE messages ADD PRIMARY KEY (session_id, version);
ALTER TABLE messages ADD UNIQUE (session_id, id);

-- A person's list of sessions.
CREATE INDEX sessions_of_person ON sessions (tenant, owner, updated_at, id)
    WHERE NOT deleted AND erased_at IS NULL AND expires_at IS NULL;

-- A person's usage, and a tenant's.
CREATE INDEX usage_of_person ON usage (tenant, owner, day);
