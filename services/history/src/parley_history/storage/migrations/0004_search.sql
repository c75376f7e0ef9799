-- The words of messages, blind. Outside the versions of the read model: this is made from whichever
-- is active, with keys that a rebuild does not have.

-- How far the messages of a session are indexed, and under which key of their person.
CREATE TABLE search_sessions (
    session_id uuid PRIMARY KEY,
    version integer NOT NULL,
    key_mark bigint NOT NULL
) WITH (fillfactor = 80);

-- One row per message; each token is 64 bits of the HMAC of a word under the key of its person.
CREATE TABLE search_messages (
    session_id uuid NOT NULL,
    message_id uuid NOT NULL,
    tenant text NOT NULL,
    owner text NOT NULL,
    said_at timestamptz NOT NULL,
    tokens bigint[] NOT NULL,
    PRIMARY KEY (session_id, message_id)
) WITH (toast_tuple_target = 8160);

-- Tokens are as good as random: they do not get smaller.
ALTER TABLE search_messages ALTER COLUMN tokens SET STORAGE EXTERNAL;

-- Without the list of pending entries, which every search would have to read through.
CREATE INDEX search_messages_by_token ON search_messages USING gin (tokens) WITH (fastupdate = off);
CREATE INDEX search_messages_newest ON search_messages (tenant, owner, said_at DESC, message_id DESC);
CREATE INDEX search_messages_of_id ON search_messages USING hash (message_id);
