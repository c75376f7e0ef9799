"""Counts the stored keys by the master key that wraps them.

A master key without a count wraps none and may be retired.
"""

import logging
from collections import Counter
from collections.abc import Mapping

from parley_core.crypto.master_keys import MasterKeys, master_key_id_of
from parley_core.crypto.sealing import UnsealError
from parley_core.runtime.settings import InvalidSettings
from parley_session.storage.database import Connection
from parley_session.storage.keys.wrapped_key_tables import WRAPPED_KEY_TABLES

DAMAGED = "?"
"""Stands in a count for the id of a master key where what is stored is not a wrapped key."""

START_CHECK_SECONDS = 10.0
"""Counting reads every session's row; a start must not wait for that on a very large store."""

# By the header: a format byte, the length of the master key's id, and that id.
_STORED = " UNION ALL ".join(
    f"SELECT wrapped_key FROM {table.name} WHERE wrapped_key IS NOT NULL"  # noqa: S608 - constants
    for table in WRAPPED_KEY_TABLES
)
_COUNT = f"""
SELECT CASE
        WHEN length(wrapped_key) > 2 THEN
            substring(wrapped_key FROM 1 FOR 2 + get_byte(wrapped_key, 1))
        ELSE wrapped_key
    END AS header,
    count(*) AS keys
FROM ({_STORED}) AS stored GROUP BY header
"""  # noqa: S608 - the names are constants

log = logging.getLogger(__name__)


async def count_wrapped_keys(
    connection: Connection, timeout_seconds: float | None = None
) -> Mapping[str, int]:
    """The keys of all WRAPPED_KEY_TABLES. Raises TimeoutError."""
    rows = await connection.fetch(_COUNT, timeout=timeout_seconds)
    counts: Counter[str] = Counter()
    for row in rows:
        counts[_master_key_id(row["header"])] += row["keys"]
    return counts


def _master_key_id(header: bytes) -> str:
    try:
        return master_key_id_of(header)
    except UnsealError:
        return DAMAGED


async def require_master_keys(connection: Connection, master_keys: MasterKeys) -> None:
    """Raise InvalidSettings if a master key is missing that wraps stored keys.

    On a store so large that counting takes longer than START_CHECK_SECONDS, only logs that.
    """
    try:
        counts = await count_wrapped_keys(connection, START_CHECK_SECONDS)
    except TimeoutError:
        log.warning("counting the wrapped keys takes too long; no master key was found missing")
        return
    if missing := missing_keys(counts, master_keys):
        raise InvalidSettings(
            f"PARLEY_MASTER_KEY lacks master keys that wrap stored keys: {format_counts(missing)}. "
            f"Add them behind the first one; `parley keys rewrap --to {master_keys.active}` frees "
            "them."
        )


def missing_keys(counts: Mapping[str, int], master_keys: MasterKeys) -> Mapping[str, int]:
    """Of `count_wrapped_keys`, those of master keys that the settings do not have."""
    known = {*master_keys.ids, DAMAGED}
    return {key_id: count for key_id, count in counts.items() if key_id not in known}


def format_counts(counts: Mapping[str, int]) -> str:
    """Such as `k1 (1,000 keys), k2 (1 key)`."""
    return ", ".join(
        f"{key_id} ({count:,} key{'s' if count != 1 else ''})"
        for key_id, count in sorted(counts.items())
    )
