"""SQL of message pages."""

# The first fields of MessageRow, in their order.
MESSAGE_COLUMNS = """
    session_id, version, id, event_id, turn_id, parent_id, role, status, created_at, content,
    original_time, model, finish_reason, prompt_tokens, completion_tokens, tokens_estimated,
    error_code
"""

# Of the content of a message, as it is stored. A page reads longer ones by a separate statement, so
# that 101 rows have at most 4 MiB, and the bound costs nothing where all messages are short.
MAX_INLINE_BYTES = 4 * 1024 * 1024 // 101

# The columns of a message, without a long content, after the size of its content.
_SIZED_COLUMNS = "octet_length(content) AS content_bytes," + MESSAGE_COLUMNS.replace(
    " content,",
    f" CASE WHEN octet_length(content) <= {MAX_INLINE_BYTES} THEN content END AS content,",
)
READ_LONG_CONTENTS = """
SELECT version, content FROM messages WHERE session_id = $1 AND version = ANY($2::int[])
"""

# Five columns precede those of a message. The literal limit is that of the longest page; it lets
# the planner reuse one generic plan, because planning takes several times as long as the read.
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
    ) AS longest_page LIMIT $5
) AS message ON true
WHERE sessions.id = $1 AND sessions.tenant = $2 AND sessions.owner = $3
    AND NOT sessions.deleted AND sessions.erased_at IS NULL
ORDER BY message.version {order}
"""


def _read(beyond_the_edge: str, order: str) -> str:
    return _READ.format(columns=_SIZED_COLUMNS, beyond_the_edge=beyond_the_edge, order=order)


READ_OLDER = _read("< coalesce(edge.version, 2147483647)", "DESC")
READ_NEWER = _read("> coalesce(edge.version, 0)", "ASC")
# Follows the parents from the leaf: down to the edge when the page lies above it, else past the
# edge until the page is full. When the record of a parent was discarded, the branch continues with
# the message before it.
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
        ORDER BY version {order} LIMIT $9
    ) AS page
    JOIN messages USING (version) WHERE session_id = $1
) AS message ON true
ORDER BY message.version {order}
"""
READ_BRANCH_OLDER = _READ_BRANCH.format(columns=_SIZED_COLUMNS, order="DESC")
READ_BRANCH_NEWER = _READ_BRANCH.format(columns=_SIZED_COLUMNS, order="ASC")
