-- Completions without a conversation: streams of one event, which no assistant and no key belong to.

ALTER TABLE sessions ALTER COLUMN assistant_id DROP NOT NULL; -- null: a completion's

-- Of what can be read alone: who has many completions has no more sessions to look through.
DROP INDEX sessions_of_person;
CREATE INDEX sessions_of_person ON sessions (tenant, owner, assistant_id)
    WHERE wrapped_key IS NOT NULL;
