-- The search index: keyed hashes of the words of messages. It is outside the read-model versions,
-- because it is built from the active one with keys that a rebuild does not have.

-- The version up to which a session is indexed, and a mark of the key that its person had then.
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

-- Tokens look random: compression would not make them smaller.
ALTER TABLE search_messages ALTER COLUMN tokens SET STORAGE EXTERNAL;

-- Without the list of pending entries, which every search would have to scan.
CREATE INDEX search_messages_by_token ON search_messages USING gin (tokens) WITH (fastupdate = off);
CREATE INDEX search_messages_newest ON search_messages (tenant, owner, said_at DESC, message_id DESC);
CREATE INDEX search_messages_of_id ON search_messages USING hash (message_id);
