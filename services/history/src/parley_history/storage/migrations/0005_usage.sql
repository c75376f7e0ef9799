-- Every version of the read model has a table of usage (see parley_history.versions). What sessions
-- that were erased cost is in the log alone: what was projected so far is made again from it.

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
