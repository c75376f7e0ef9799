"""Report of a version comparison for the operator."""

from collections.abc import Sequence
from uuid import UUID

from parley_history.operations.rebuild.errors import VersionsDiffer
from parley_history.operations.rebuild.version_comparison import Comparison, hexadecimal

MAX_LISTED_SESSIONS = 10


def require_none_different(comparison: Comparison) -> None:
    """Raise VersionsDiffer if sessions at the same version have different rows."""
    if comparison.different:
        raise _differences(comparison.different, comparison.different_ids)


def require_equal(comparison: Comparison, *, may_be_ahead: bool) -> None:
    """Raise VersionsDiffer unless all sessions are equal, or ahead where that is allowed."""
    count = comparison.different + comparison.behind
    ids = comparison.different_ids + comparison.behind_ids
    if not may_be_ahead:
        count, ids = count + comparison.ahead, ids + comparison.ahead_ids
    if count:
        raise _differences(count, ids)


def report_lines(comparison: Comparison, live: int, rebuilt: int) -> list[str]:
    """Format counts and checksums of both versions, and the sessions not compared."""
    lines = [
        f"version {live} (live): {comparison.sessions:,} sessions, "
        f"{comparison.live_messages:,} messages, "
        f"checksum {hexadecimal(comparison.live_checksum)}",
        f"version {rebuilt} (rebuilt): {comparison.sessions:,} sessions, "
        f"{comparison.rebuilt_messages:,} messages, "
        f"checksum {hexadecimal(comparison.rebuilt_checksum)}",
    ]
    if comparison.parked:
        lines.append(f"not compared: {comparison.parked:,} sessions parked in the live version")
    if changing := comparison.behind + comparison.ahead:
        lines.append(f"not compared: {changing:,} sessions at different events in the two versions")
    return lines


def _differences(count: int, ids: Sequence[UUID]) -> VersionsDiffer:
    listed = "\n".join(f"  {session_id}" for session_id in ids[:MAX_LISTED_SESSIONS])
    return VersionsDiffer(f"The versions differ in {count:,} sessions. First sessions:\n{listed}")
