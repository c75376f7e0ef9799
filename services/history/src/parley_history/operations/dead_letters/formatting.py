"""Dead letters as text for a terminal and as JSON; a record's bytes never act on the terminal."""

import json
from collections.abc import Sequence
from datetime import UTC
from typing import Any

from parley_history.operations.dead_letters.repository import Counts, StoredDeadLetter

_TOLD = ("ce_sequence", "ce_type", "ce_id")


def line(letter: StoredDeadLetter) -> str:
    told = " ".join(value for value in _told(letter).values() if value) or "-"
    session = letter.session_id or "no session"
    return f"{letter.place}  {session}  {_time(letter)}  {told}  {visible(letter.error)}"


def whole(letter: StoredDeadLetter) -> str:
    rows = [
        ("place", str(letter.place)),
        ("session", str(letter.session_id or "none")),
        ("parked at", _time(letter)),
        ("error", visible(letter.error)),
        ("key", _text(letter.record.key)),
        *((f"header {visible(name)}", _text(value)) for name, value in letter.record.headers),
        ("value", _text(letter.record.value)),
    ]
    return "\n".join(f"{name}: {text}" for name, text in rows)


def as_json(letters: Sequence[StoredDeadLetter], counts: Counts) -> str:
    return json.dumps(
        {
            "dead_letters": [_json(letter) for letter in letters],
            "total": counts.letters,
            "parked_sessions": counts.sessions,
        },
        indent=2,
    )


def visible(text: str) -> str:
    """Each character that cannot be printed in the form of Python's escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _json(letter: StoredDeadLetter) -> dict[str, Any]:
    return {
        "partition": letter.place.partition,
        "offset": letter.place.offset,
        "session_id": letter.session_id and str(letter.session_id),
        "error": letter.error,
        "parked_at": _time(letter),
        **{name.removeprefix("ce_"): text for name, text in _told(letter).items()},
    }


def _told(letter: StoredDeadLetter) -> dict[str, str | None]:
    """What the headers tell, where they do: nothing in them can be relied on."""
    headers = dict(letter.record.headers)
    return {name: _text(headers[name]) if name in headers else None for name in _TOLD}


def _time(letter: StoredDeadLetter) -> str:
    return letter.parked_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _text(data: bytes) -> str:
    return visible(data.decode("utf-8", "backslashreplace"))
