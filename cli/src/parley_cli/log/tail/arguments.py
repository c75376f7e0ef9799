"""Arguments of `parley log tail`: event types, sessions and positions."""

import argparse
import contextlib
import re
from uuid import UUID

# As many as a line of `parley log tail` on a terminal has.
MIN_SESSION_PREFIX = 8


def event_types(text: str) -> frozenset[str]:
    """A full type stands for itself, a short name for all versions of the type."""
    if "." in text:
        return frozenset({text})
    # Imported here and not by every command.
    from parley_events.session import DATA_BY_TYPE

    matching = frozenset(full for full in DATA_BY_TYPE if full.split(".")[2] == text)
    if not matching:
        known = ", ".join(sorted({full.split(".")[2] for full in DATA_BY_TYPE}))
        raise argparse.ArgumentTypeError(f"expected a full ce_type or one of {known}")
    return matching


def session_or_prefix(text: str) -> str:
    """The UUID in its usual form, or the beginning of one."""
    with contextlib.suppress(ValueError):
        return str(UUID(text))
    if re.fullmatch(rf"[0-9a-f-]{{{MIN_SESSION_PREFIX},35}}", text.lower()):
        return text.lower()
    raise argparse.ArgumentTypeError(
        f"expected the UUID of a session, or its first {MIN_SESSION_PREFIX} or more digits"
    )


def log_position(text: str) -> tuple[int, int]:
    if not (match := re.fullmatch(r"(\d{1,6}):(\d{1,18})", text)):
        raise argparse.ArgumentTypeError("expected a partition and an offset, such as 3:1250")
    return int(match[1]), int(match[2])
