"""The server-sent events of a reply, and which part of each was not shown yet.

An event's `sequence_number` is a place: how many code points of the reply were delivered with it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True)
class Delta:
    text: str


@dataclass(frozen=True)
class Ended:
    """`trouble` is a sentence unless the reply is complete."""

    version: int
    trouble: str | None


def events(chunks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The data of each event in a stream of bytes; comments and an unfinished rest are left out."""
    lines: list[bytes] = []
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in (line.removesuffix(b"\r") for line in whole):
            if line.startswith(b"data:"):
                lines.append(line.removeprefix(b"data:").removeprefix(b" "))
            elif not line and lines:
                yield msgspec.json.decode(b"\n".join(lines))
                lines = []


class Shown:
    """How far a reply was shown: a stream that begins again is taken up from there."""

    def __init__(self) -> None:
        self.place = 0

    def unseen(self, event: dict[str, Any]) -> Iterator[Delta | Ended]:
        match event["type"]:
            case "reply.delta":
                yield from self._up_to(event["sequence_number"], event["delta"])
            case "reply.completed" | "reply.failed" | "reply.cancelled" as kind:
                # The stored reply, which may be all that a late reader gets.
                yield from self._up_to(event["sequence_number"], event["message"]["content"])
                yield Ended(event["version"], _trouble(kind, event))

    def _up_to(self, place: int, text: str) -> Iterator[Delta]:
        if new := place - self.place if place > self.place else 0:
            self.place = place
            yield Delta(text[-new:])


def _trouble(kind: str, event: dict[str, Any]) -> str | None:
    match kind:
        case "reply.completed":
            return None
        case "reply.cancelled":
            return "The reply was cancelled."
        case _:
            error = event.get("error") or {}
            return str(error.get("message") or "The reply failed.")
