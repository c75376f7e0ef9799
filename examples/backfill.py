"""Defines a metric over all of the past: the longest reply of each model, in tokens.

Run: python backfill.py EXPORT, on an NDJSON export (parley log export --format ndjson --to EXPORT);
the same function could follow the log afterwards.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from parley_events.event_decoders import decode_json_event
from parley_events.session import Event, ReplyCompleted


def exported_events(folder: Path) -> Iterator[Event]:
    """The events of the sessions in the files that the manifest names, each once."""
    for file in json.loads((folder / "manifest.json").read_text())["files"]:
        if file["path"].startswith("sessions/"):
            with (folder / file["path"]).open("rb") as lines:
                yield from map(decode_json_event, lines)


def add(longest: dict[str, int], event: Event) -> None:
    """The metric: what an event changes."""
    if isinstance(event.data, ReplyCompleted) and event.data.usage:
        tokens = event.data.usage.completion_tokens
        longest[event.data.model] = max(tokens, longest.get(event.data.model, 0))


def backfill(folder: Path) -> dict[str, int]:
    longest: dict[str, int] = {}
    for event in exported_events(folder):
        add(longest, event)
    return longest


if __name__ == "__main__":
    print(json.dumps(backfill(Path(sys.argv[1])), indent=2))
