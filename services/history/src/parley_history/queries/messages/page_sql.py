"""SQL of message pages."""

# The first fields of MessageRow, in their order.
MESSAGE_COLUMNS = """
    session_id, version, id, event_id, turn_id, parent_id, role, status, created_at, content,
    original_time, model, finish_reason, prompt_tokens, completion_tokens, tokens_estimated,
    error_code
"""

# A page of 100 messages might have 25 MiB: it ends before the message that exceeds this many bytes,
# as they are stored, but has at least one message.
MAX_PAGE_BYTES = 4 * 1024 * 1024

# The messages of `page` that fit, counted in `order`, and the number of all of them.
_FITTING = """
    SELECT found, {columns} FROM (
        SELECT *, count(*) OVER () AS found,
            sum(octet_length(content)) OVER (
                ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS bytes_before,
            octet_length(content) AS bytes
        FROM ({page}) AS page
    ) AS measured
    WHERE bytes_before IS NULL OR bytes_before + coalesce(bytes, 0) <= {max_bytes}
"""

# Five columns precede those of the message. The literal limit is that of the longest page; it lets
# the planner reuse one generic plan, because planning takes several times as long as the read.
_READ = """
SELECT sessions.version AS session_version, sessions.linear, edge.version AS edge,
    leaf.version AS leaf, message.*
FROM sessions
LEFT JOIN messages AS edge ON edge.session_id = sessions.id AND edge.id = $4
    AND edge.version <= $7 AND edge.created_at <= coalesce($8::timestamptz, 'infinity')
LEFT JOIN messages AS leaf ON leaf.session_id = sessions.id AND leaf.id = $6
    AND leaf.version <= $7 AND leaf.created_at <= coalesce($8::timestamptz, 'infinity')
LEFT JOIN LATERAL ({messages}) AS message ON true
WHERE sessions.id = $1 AND sessions.tenant = $2 AND sessions.owner = $3
    AND NOT sessions.deleted AND sessions.erased_at IS NULL
ORDER BY message.version {order}
"""
_MESSAGES = """
    SELECT * FROM (
        SELECT {columns} FROM messages
        WHERE session_id = sessions.id AND (sessions.linear OR $9)
            AND version {beyond_the_edge}
            AND version <= coalesce(leaf.version, $7)
            AND created_at <= coalesce($8::timestamptz, 'infinity')
        ORDER BY version {order} LIMIT 101
    ) AS longest_page LIMIT $5
"""


def _fitting(page: str, order: str) -> str:
    return _FITTING.format(
        columns=MESSAGE_COLUMNS, page=page, order=order, max_bytes=MAX_PAGE_BYTES
    )


def _read(beyond_the_edge: str, order: str) -> str:
    page = _MESSAGES.format(columns=MESSAGE_COLUMNS, beyond_the_edge=beyond_the_edge, order=order)
    return _READ.format(messages=_fitting(page, f"version {order}"), order=order)


READ_OLDER = _read("< coalesce(edge.version, 2147483647)", "DESC")
READ_NEWER = _read("> coalesce(edge.version, 0)", "ASC")
# Follows the parents from the leaf: down to the edge when the page lies above it, else past the
# edge until the page is full. When the record of a parent was discarded, the branch continues with
# the message before it. Rows come oldest first.
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
LEFT JOIN LATERAL ({messages}) AS message ON true
ORDER BY message.version
"""
_BRANCH_MESSAGES = """
    SELECT {columns}
    FROM (
        SELECT version FROM branch WHERE version > $6 AND version < $5
        ORDER BY version LIMIT $9
    ) AS page
    JOIN messages USING (version) WHERE session_id = $1
"""
# $10 is -1 for a page whose first message is the newest one, else 1.
READ_BRANCH = _READ_BRANCH.format(
    messages=_fitting(_BRANCH_MESSAGES.format(columns=MESSAGE_COLUMNS), "version * $10")
)
