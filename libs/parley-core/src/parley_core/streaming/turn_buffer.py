"""The buffer of a turn: what was streamed of its reply, sealed, in a stream of entries.

The id of an entry of text is `<end>-0`: the place, in code points of the reply, up to which it
goes. Before all text comes the opening, `0-<n>`, the last of which counts; the marker
`<length>-<most>` says that the turn has ended, so that a reader asks session how.
"""

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from pydantic import ValidationError

from parley_core.crypto.sealing import DataKey, UnsealError, open_copy, seal_copy
from parley_events.values import Count, Price, Value

# The highest there is: after it nothing more can come at its place.
_ENDED = 2**64 - 1


class StreamHeader(Value):
    """What the loss of the runner must not lose: who answers, at what price, to how long a prompt.

    `prompt_tokens` is an estimate.
    """

    model: str
    prompt_tokens: Count
    price: Price | None = None


class Entry(NamedTuple):
    id: str
    sealed: bytes


def buffer_name(turn_id: UUID) -> str:
    return f"parley:turn:{turn_id}"


class TurnBufferSealer:
    """Seals what is written to the buffer of a turn, which is kept by `name`."""

    def __init__(self, turn_id: UUID, key: DataKey) -> None:
        self.name = buffer_name(turn_id)
        self._key, self._openings = key, 0

    def opening(self, opening: StreamHeader) -> Entry:
        """Each time another one, which counts instead of those before."""
        self._openings += 1
        return self._sealed(f"0-{self._openings}", opening.model_dump_json())

    def text(self, text: str, end: int) -> Entry:
        """A part of the reply that goes up to the place `end`."""
        return self._sealed(f"{end}-0", text)

    def end(self, length: int) -> Entry:
        """The turn has ended; no text is beyond the place `length`."""
        return self._sealed(f"{length}-{_ENDED}", "")

    def _sealed(self, entry_id: str, content: str) -> Entry:
        name = f"{self.name} {entry_id}"
        return Entry(entry_id, seal_copy(self._key, content.encode(), name=name))


class TurnBufferReader:
    """Reads a buffer from its beginning on, as its entries come.

    Only what continues the text is taken. `broken` once an entry does not, or is not as it was
    written: no more can be read then.
    """

    def __init__(self, turn_id: UUID, key: DataKey) -> None:
        self.name = buffer_name(turn_id)
        self.seen = "0-0"
        self.place = 0
        self.opening: StreamHeader | None = None
        self.ended = self.broken = False
        self._key = key

    def take(self, entries: Iterable[Entry]) -> str:
        """The text that these add; they follow the id `seen`."""
        return "".join(self._taken(entry) for entry in entries if not self.broken)

    def _taken(self, entry: Entry) -> str:
        end, _, number = entry.id.partition("-")
        self.seen = entry.id
        try:
            content = open_copy(self._key, entry.sealed, name=f"{self.name} {entry.id}")
            if int(number) == _ENDED:
                self.ended = True
            elif int(number):
                self.opening = StreamHeader.model_validate_json(content)
            else:
                return self._continued(content.decode(), int(end))
        except (UnsealError, ValidationError):
            self.broken = True
        return ""

    def _continued(self, text: str, end: int) -> str:
        start = end - len(text)
        if start > self.place:
            self.broken = True
            return ""
        # Some of it may be known: a buffer that was lost is written again as one entry.
        new = text[self.place - start :]
        self.place = max(self.place, end)
        return new
