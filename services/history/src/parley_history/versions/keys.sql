-- The keys of the one table that a rebuild fills in bulk: they cost less once the rows are there.

ALTER TABLE messages ADD PRIMARY KEY (session_id, version);
ALTER TABLE messages ADD UNIQUE (session_id, id);
