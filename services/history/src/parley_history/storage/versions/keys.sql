-- Keys and indexes that a rebuild adds last, because building them over complete tables is cheaper.

ALTER TABLE messages ADD PRIMARY KEY (session_id, version);
ALTER TABLE messages ADD UNIQUE (session_id, id);

-- Session lists of one person.
CREATE INDEX sessions_of_person ON sessions (tenant, owner, updated_at, id)
    WHERE NOT deleted AND erased_at IS NULL AND expires_at IS NULL;

-- Usage of one person or one tenant.
CREATE INDEX usage_of_person ON usage (tenant, owner, day);
