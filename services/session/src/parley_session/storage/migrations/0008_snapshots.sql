-- The folded session as of `snapshot_version`, so that a long one is loaded without all its events.
-- It holds no content. Only an optimisation: it may be set to null at any time.
ALTER TABLE sessions
    ADD COLUMN snapshot bytea,
    ADD COLUMN snapshot_version integer;

-- Ids do not compress.
ALTER TABLE sessions ALTER COLUMN snapshot SET STORAGE EXTERNAL;
