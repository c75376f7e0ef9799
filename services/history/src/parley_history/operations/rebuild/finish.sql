-- Erased sessions keep only their tombstone.
DELETE FROM messages USING sessions
WHERE messages.session_id = sessions.id AND sessions.erased_at IS NOT NULL;

-- A message shows the first of the turns that it opened.
UPDATE messages SET turn_id = first.turn_id
FROM (
    SELECT DISTINCT ON (session_id, message_id) session_id, message_id, turn_id
    FROM turn_links ORDER BY session_id, message_id, place
) AS first
WHERE messages.session_id = first.session_id AND messages.id = first.message_id
    AND messages.turn_id IS NULL;

DROP TABLE turn_links;

ANALYZE positions, sessions, messages, usage, deferred_events, dead_letters;
