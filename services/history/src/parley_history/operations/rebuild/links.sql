-- Turns of messages that an earlier batch brought: until messages have keys, none can be found.
CREATE TABLE turn_links (
    place bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    session_id uuid NOT NULL,
    message_id uuid NOT NULL,
    turn_id uuid NOT NULL
);
