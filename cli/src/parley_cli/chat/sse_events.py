"""Server-sent events of a turn, and the parts of the reply that each one adds.

The `sequence_number` of an event is a position: the number of code points of the reply that the
stream has delivered, including the event's own.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from parley_core.streaming.sse import SSEParser

# The last event holds the whole reply, which the service limits to a few MiB.
MAX_EVENT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class ReplyDelta:
    text: str


@dataclass(frozen=True)
class ReplyEnded:
    """`error` is a sentence, or None if the reply is complete."""

    version: int
    error: str | None


def events(chunks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The data of each whole event in a stream of bytes. Raises EventTooLarge."""
    parser = SSEParser(MAX_EVENT_BYTES)
    for chunk in chunks:
        for data in parser.feed(chunk):
            yield msgspec.json.decode(data)


class ReplyProgress:
    """Tracks how much of a reply was shown, so that a restarted stream repeats nothing."""

    def __init__(self) -> None:
        self.position = 0

    def new_parts(self, event: dict[str, Any]) -> Iterator[ReplyDelta | ReplyEnded]:
        match event["type"]:
            case "reply.delta":
                yield from self._advance(event["sequence_number"], event["delta"])
            case "reply.completed" | "reply.failed" | "reply.cancelled" as kind:
                # The stored reply: a client that reconnects late may receive nothing else.
                yield from self._advance(event["sequence_number"], event["message"]["content"])
                yield ReplyEnded(event["version"], _error(kind, event))

    def _advance(self, position: int, text: str) -> Iterator[ReplyDelta]:
        if position > self.position:
            new = position - self.position
            self.position = position
            yield ReplyDelta(text[-new:])


def _error(kind: str, event: dict[str, Any]) -> str | None:
    match kind:
        case "reply.completed":
            return None
        case "reply.cancelled":
            return "The reply was cancelled."
        case _:
            error = event.get("error") or {}
            return str(error.get("message") or "The reply failed.")
