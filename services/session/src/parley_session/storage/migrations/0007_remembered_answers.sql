-- The response to a request, sealed with the session's key, where it cannot be read from the session.
ALTER TABLE remembered_requests ADD COLUMN answer bytea;
