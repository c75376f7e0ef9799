-- Links to messages of earlier batches. They are applied at the end, when messages have keys.
CREATE TABLE turn_links (
    place bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    session_id uuid NOT NULL,
    message_id uuid NOT NULL,
    turn_id uuid NOT NULL
);
