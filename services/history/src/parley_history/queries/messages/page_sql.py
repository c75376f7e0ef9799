"""The statements that read pages of a session's messages."""

# The first columns of a MessageRow, in its order.
MESSAGE_COLUMNS = """
    session_id, version, id, event_id, turn_id, parent_id, role, status, created_at, content,
    original_time, model, finish_reason, prompt_tokens, completion_tokens, tokens_estimated
"""

# What follows the first four columns are those of a message. The limit that is written out, of the
# longest page there is, tells the planner that one plan does for all: making one for each read
# takes several times as long as the read.
_READ = """
SELECT sessions.version AS session_version, sessions.linear, edge.version AS edge,
    leaf.version AS leaf, message.*
FROM sessions
LEFT JOIN messages AS edge ON edge.session_id = sessions.id AND edge.id = $4
    AND edge.version <= $7 AND edge.created_at <= coalesce($8::timestamptz, 'infinity')
LEFT JOIN messages AS leaf ON leaf.session_id = sessions.id AND leaf.id = $6
    AND leaf.version <= $7 AND leaf.created_at <= coalesce($8::timestamptz, 'infinity')
LEFT JOIN LATERAL (
    SELECT * FROM (
        SELECT {columns} FROM messages
        WHERE session_id = sessions.id AND (sessions.linear OR $9)
            AND version {beyond_the_edge}
            AND version <= coalesce(leaf.version, $7)
            AND created_at <= coalesce($8::timestamptz, 'infinity')
        ORDER BY version {order} LIMIT 101
    ) AS most LIMIT $5
) AS message ON true
WHERE sessions.id = $1 AND sessions.tenant = $2 AND sessions.owner = $3
    AND NOT sessions.deleted AND sessions.erased_at IS NULL
ORDER BY message.version {order}
"""
READ_OLDER = _READ.format(
    columns=MESSAGE_COLUMNS,
    beyond_the_edge="< coalesce(edge.version, 2147483647)",
    order="DESC",
)
READ_NEWER = _READ.format(
    columns=MESSAGE_COLUMNS, beyond_the_edge="> coalesce(edge.version, 0)", order="ASC"
)
# From the leaf along the parents: down to the edge where the page is above it, else past the edge
# until there is enough for a page. Where the record of a parent was discarded, the branch goes on
# with the message before. The page is answered oldest first.
_READ_BRANCH = """
WITH RECURSIVE branch AS (
    SELECT version, parent_id, (version < $5)::int AS taken
    FROM messages
    WHERE session_id = $1 AND version = coalesce($2, (
        SELECT max(version) FROM messages
        WHERE session_id = $1 AND version <= $3
            AND created_at <= coalesce($4::timestamptz, 'infinity')
    ))
    UNION ALL
    SELECT parent.version, parent.parent_id, branch.taken + (parent.version < $5)::int
    FROM branch CROSS JOIN LATERAL (
        (
            SELECT version, parent_id FROM messages
            WHERE session_id = $1 AND id = branch.parent_id AND version < branch.version
        )
        UNION ALL
        (
            SELECT version, parent_id FROM messages
            WHERE session_id = $1 AND version < branch.version AND branch.parent_id IS NOT NULL
                AND NOT EXISTS (
                    SELECT FROM messages WHERE session_id = $1 AND id = branch.parent_id
                )
            ORDER BY version DESC LIMIT 1
        )
        LIMIT 1
    ) AS parent
    WHERE branch.version > $6 AND branch.taken < $7
)
SELECT known.edge, message.*
FROM (SELECT EXISTS (SELECT FROM branch WHERE version = $8) AS edge) AS known
LEFT JOIN LATERAL (
    SELECT {columns}
    FROM (
        SELECT version FROM branch WHERE version > $6 AND version < $5
        ORDER BY version LIMIT $9
    ) AS page
    JOIN messages USING (version) WHERE session_id = $1
) AS message ON true
ORDER BY message.version
"""
READ_BRANCH = _READ_BRANCH.format(columns=MESSAGE_COLUMNS)
READ_VERSION = "SELECT version FROM sessions WHERE id = $1"
READ_BEHIND = """
SELECT seen.id, seen.version
FROM unnest($1::uuid[], $2::int[]) AS seen (id, version) LEFT JOIN sessions USING (id)
WHERE coalesce(sessions.version, 0) < seen.version
"""
