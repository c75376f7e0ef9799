-- Sessions that branch, are archived, deleted and erased need other columns in every version (see
-- parley_history.versions). What was projected so far is made again from the log.

DROP VIEW IF EXISTS sessions, messages;

DO $$
DECLARE number integer;
BEGIN
    FOR number IN SELECT version FROM read_models LOOP
        EXECUTE format('DROP SCHEMA IF EXISTS read_model_%s CASCADE', number);
    END LOOP;
END
$$;

DELETE FROM active_read_model;
DELETE FROM read_models;
