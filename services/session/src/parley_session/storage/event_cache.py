"""In-process caches of the event store: folded sessions, and the events appended last."""

import sys
from collections.abc import Collection, Sequence
from uuid import UUID

from cachetools import LRUCache

from parley_events.session import Event
from parley_session.domain.session.state import Session

# Measured with tracemalloc, rounded up: a session without messages; a node with its id and its
# place in a map; an ended turn with its id.
_SESSION_BYTES, _NODE_BYTES, _ENDED_TURN_BYTES = 1_000, 420, 200

# The next steps of a turn read the events of its first step again.
MAX_RECENT_EVENTS = 1_000
# Larger appends are not cached: reading them back costs less than the memory. With the limit above,
# cached events have at most 32 MiB.
MAX_RECENT_APPEND_BYTES = 32 * 1024


class SessionCache:
    """LRU cache of folded sessions of at most `max_bytes`, so that a load reads only newer events.

    A session that is larger than the whole cache is not cached.
    """

    def __init__(self, max_bytes: int) -> None:
        self._sessions: LRUCache[UUID, Session] = LRUCache(max_bytes, getsizeof=estimated_bytes)

    def get(self, session_id: UUID) -> Session | None:
        return self._sessions.get(session_id)

    def add(self, session: Session) -> None:
        """Never replaces a later version: loads of one session may overlap."""
        cached = self._sessions.get(session.id)
        if cached is not None and cached.version > session.version:
            return
        try:
            self._sessions[session.id] = session
        except ValueError:  # Larger than the whole cache.
            self.remove(session.id)

    def remove(self, session_id: UUID) -> None:
        self._sessions.pop(session_id, None)


class RecentEvents:
    """LRU cache of appended events in stored form: their content is sealed."""

    def __init__(self) -> None:
        self._events: LRUCache[tuple[UUID, int], Event] = LRUCache(MAX_RECENT_EVENTS)

    def add(self, events: Sequence[Event], size_bytes: int) -> None:
        """Cache the events of one append, which have `size_bytes` in all."""
        if size_bytes <= MAX_RECENT_APPEND_BYTES:
            for event in events:
                self._events[event.session_id, event.sequence] = event

    def get(self, session_id: UUID, sequences: Collection[int]) -> list[Event] | None:
        """The events with these sequences, in order; None unless all are cached."""
        cached = [self._events.get((session_id, sequence)) for sequence in sorted({*sequences})]
        events = [event for event in cached if event is not None]
        return events if len(events) == len(cached) else None


def estimated_bytes(session: Session) -> int:
    """The memory of a folded session, from its counts alone: it is called after each append."""
    names = (session.owner, session.tenant, session.assistant_id)
    return (
        _SESSION_BYTES
        + sum(map(sys.getsizeof, names))
        + _NODE_BYTES * (len(session.messages) + len(session.compactions))
        + _ENDED_TURN_BYTES * len(session.ended_turns)
    )
