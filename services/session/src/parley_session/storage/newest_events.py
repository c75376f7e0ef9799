"""The events that were appended here a moment ago: a turn's next steps read them again."""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from uuid import UUID

from parley_events.session import Event

MOST_EVENTS = 1_000
# Of one append; what has more costs a read.
MOST_BYTES = 32 * 1024


class NewestEvents:
    """At most MOST_EVENTS, as they are stored: what was said in them is sealed."""

    def __init__(self) -> None:
        self._events: OrderedDict[tuple[UUID, int], Event] = OrderedDict()

    def keep(self, events: Sequence[Event], size: int) -> None:
        """Those of one append, which have `size` bytes."""
        if size > MOST_BYTES:
            return
        for event in events:
            self._events[event.session_id, event.sequence] = event
        while len(self._events) > MOST_EVENTS:
            self._events.popitem(last=False)

    def find(self, session_id: UUID, sequences: Collection[int]) -> list[Event] | None:
        """The events with these sequences, in order; None unless all of them are here."""
        found = [self._events.get((session_id, sequence)) for sequence in sorted({*sequences})]
        events = [event for event in found if event is not None]
        return events if len(events) == len(found) else None
