"""Turn buffer format: the streamed part of a reply as a sequence of sealed entries.

The ID of a text entry is `<end>-0`, where `end` is the position in the reply, in code points, at
which the text ends. Header entries `0-<n>` precede all text; the last one counts. The end marker
`<length>-<max>` says that the turn has ended; a reader then asks session for the outcome.
"""

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from pydantic import ValidationError

from parley_core.crypto.sealing import DataKey, UnsealError, open_copy, seal_copy
from parley_events.values import Count, Price, Value

# The highest sequence part of a Redis stream ID: no entry at this position can follow it.
_END_MARKER = 2**64 - 1


class StreamHeader(Value):
    """The facts about a reply that must survive the loss of its runner.

    `prompt_tokens` is an estimate.
    """

    model: str
    prompt_tokens: Count
    price: Price | None = None


class BufferEntry(NamedTuple):
    id: str
    sealed: bytes


def buffer_name(turn_id: UUID) -> str:
    """The Redis key of a turn's buffer."""
    return f"parley:turn:{turn_id}"


class TurnBufferSealer:
    """Creates the entries of one turn's buffer; `name` is its Redis key."""

    def __init__(self, turn_id: UUID, key: DataKey) -> None:
        self.name = buffer_name(turn_id)
        self._key, self._headers = key, 0

    def header(self, header: StreamHeader) -> BufferEntry:
        """A header entry; it replaces earlier ones."""
        self._headers += 1
        return self._sealed(f"0-{self._headers}", header.model_dump_json())

    def text(self, text: str, end: int) -> BufferEntry:
        """A part of the reply that ends at the position `end`."""
        return self._sealed(f"{end}-0", text)

    def end(self, length: int) -> BufferEntry:
        """The end marker of a reply with `length` code points."""
        return self._sealed(f"{length}-{_END_MARKER}", "")

    def _sealed(self, entry_id: str, content: str) -> BufferEntry:
        name = f"{self.name} {entry_id}"
        return BufferEntry(entry_id, seal_copy(self._key, content.encode(), name=name))


class TurnBufferReader:
    """Assembles the reply from a buffer's entries, in their order.

    `corrupt` is set by an entry that leaves a gap in the text or does not unseal; later entries are
    then ignored. `last_id` is the ID of the last entry that was applied.
    """

    def __init__(self, turn_id: UUID, key: DataKey) -> None:
        self.name = buffer_name(turn_id)
        self.last_id = "0-0"
        self.position = 0
        self.header: StreamHeader | None = None
        self.ended = self.corrupt = False
        self._key = key

    def apply(self, entries: Iterable[BufferEntry]) -> str:
        """Apply the entries that follow `last_id`; return the text that they add."""
        return "".join(self._apply(entry) for entry in entries if not self.corrupt)

    def _apply(self, entry: BufferEntry) -> str:
        end, _, sequence = entry.id.partition("-")
        self.last_id = entry.id
        try:
            content = open_copy(self._key, entry.sealed, name=f"{self.name} {entry.id}")
            if int(sequence) == _END_MARKER:
                self.ended = True
            elif int(sequence):
                self.header = StreamHeader.model_validate_json(content)
            else:
                return self._new_text(content.decode(), int(end))
        except (UnsealError, ValidationError):
            self.corrupt = True
        return ""

    def _new_text(self, text: str, end: int) -> str:
        start = end - len(text)
        if start > self.position:
            self.corrupt = True
            return ""
        # The entry may overlap known text: a lost buffer is rewritten as a single entry.
        new = text[self.position - start :]
        self.position = max(self.position, end)
        return new
