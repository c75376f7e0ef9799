"""Formats dead letters as JSON or as text that is safe to print on a terminal."""

import json
from collections.abc import Sequence
from datetime import UTC
from typing import Any

from parley_history.operations.dead_letters.repository import Counts, StoredDeadLetter

_SUMMARY_HEADERS = ("ce_sequence", "ce_type", "ce_id")


def format_line(letter: StoredDeadLetter) -> str:
    event = " ".join(value for value in _summary(letter).values() if value) or "-"
    session = letter.session_id or "no session"
    error = escape_unprintable(letter.error)
    return f"{letter.location}  {session}  {_time(letter)}  {event}  {error}"


def format_details(letter: StoredDeadLetter) -> str:
    headers = letter.record.headers
    rows = [
        ("location", str(letter.location)),
        ("session", str(letter.session_id or "none")),
        ("parked at", _time(letter)),
        ("error", escape_unprintable(letter.error)),
        ("key", _text(letter.record.key)),
        *((f"header {escape_unprintable(name)}", _text(value)) for name, value in headers),
        ("value", _text(letter.record.value)),
    ]
    return "\n".join(f"{name}: {text}" for name, text in rows)


def format_json(letters: Sequence[StoredDeadLetter], counts: Counts) -> str:
    return json.dumps(
        {
            "dead_letters": [_json(letter) for letter in letters],
            "total": counts.letters,
            "parked_sessions": counts.sessions,
        },
        indent=2,
    )


def escape_unprintable(text: str) -> str:
    """Replace unprintable characters, such as terminal controls, with Python's escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _json(letter: StoredDeadLetter) -> dict[str, Any]:
    return {
        "partition": letter.location.partition,
        "offset": letter.location.offset,
        "session_id": letter.session_id and str(letter.session_id),
        "error": letter.error,
        "parked_at": _time(letter),
        **{name.removeprefix("ce_"): text for name, text in _summary(letter).items()},
    }


def _summary(letter: StoredDeadLetter) -> dict[str, str | None]:
    """Return sequence, type and id from the headers; each may be missing or wrong."""
    headers = dict(letter.record.headers)
    return {name: _text(headers[name]) if name in headers else None for name in _SUMMARY_HEADERS}


def _time(letter: StoredDeadLetter) -> str:
    return letter.parked_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _text(data: bytes) -> str:
    return escape_unprintable(data.decode("utf-8", "backslashreplace"))
