"""What a comparison of two versions says to whoever runs it."""

from collections.abc import Sequence
from uuid import UUID

from parley_history.operations.rebuild.errors import VersionsDiffer
from parley_history.operations.rebuild.version_comparison import Comparison, hexadecimal

MOST_NAMED = 10


def require_none_different(found: Comparison) -> None:
    """Raise Differences if sessions that stand at the same event hold other rows."""
    if found.different:
        raise _differences(found.different, found.different_ids)


def require_equal(found: Comparison, *, may_be_ahead: bool) -> None:
    """Raise Differences unless all sessions are equal, or ahead where that may be."""
    count, ids = found.different + found.behind, found.different_ids + found.behind_ids
    if not may_be_ahead:
        count, ids = count + found.ahead, ids + found.ahead_ids
    if count:
        raise _differences(count, ids)


def _differences(count: int, ids: Sequence[UUID]) -> VersionsDiffer:
    named = "\n".join(f"  {session_id}" for session_id in ids[:MOST_NAMED])
    return VersionsDiffer(
        f"The versions differ in {count:,} sessions; nothing was swapped. The first ones:\n{named}"
    )


def lines_of(found: Comparison, live: int, rebuilt: int) -> list[str]:
    """The comparison in lines: counts and checksums of both, and what was left out."""
    lines = [
        f"version {live} (live): {found.sessions:,} sessions, {found.live_messages:,} messages, "
        f"checksum {hexadecimal(found.live_checksum)}",
        f"version {rebuilt} (rebuilt): {found.sessions:,} sessions, "
        f"{found.rebuilt_messages:,} messages, checksum {hexadecimal(found.rebuilt_checksum)}",
    ]
    if found.parked:
        lines.append(f"{found.parked:,} sessions are parked in the live one and were left out")
    if moved := found.behind + found.ahead:
        lines.append(f"{moved:,} sessions were at another event in one of them just then")
    return lines
