"""Counts the stored keys by the master key that wraps them.

A master key without a count wraps none and may be retired.
"""

from collections.abc import Mapping

from parley_session.storage.database import Connection

# A wrapped key begins with a format byte, the length of the master key's id, and that id.
_COUNT = """
SELECT convert_from(substring(wrapped_key FROM 3 FOR get_byte(wrapped_key, 1)), 'UTF8') AS id,
    count(*) AS keys
FROM (
    SELECT wrapped_key FROM sessions WHERE wrapped_key IS NOT NULL
    UNION ALL SELECT wrapped_key FROM search_keys
    UNION ALL SELECT wrapped_key FROM installation_key
) AS stored GROUP BY id
"""


async def count_wrapped_keys(connection: Connection, timeout_seconds: float) -> Mapping[str, int]:
    """The keys of sessions, of search, and of the installation. Raises TimeoutError."""
    rows = await connection.fetch(_COUNT, timeout=timeout_seconds)
    return {row["id"]: row["keys"] for row in rows}
