"""The events of one decision as they are made: each gets its place, its id and its time."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from parley_events.session import Event, KnownEventData
from parley_events.uuid7 import uuid7_after
from parley_events.values import Actor
from parley_session.domain.session.state import Session

Seal = Callable[[UUID, UUID, str, dict[str, Any]], bytes]
"""Seals a plaintext for (session id, event id, field)."""


@dataclass(frozen=True, slots=True)
class CommandMetadata:
    """What the world adds to a command: who, when (in UTC), and 74 bits of randomness for ids."""

    actor: Actor
    request_id: str
    now: datetime
    randomness: int
    traceparent: str | None = None


class EventBuilder:
    """Collects the events that follow a session, or that begin the one with `session_id`."""

    def __init__(
        self, session_id: UUID, session: Session | None, moment: CommandMetadata, seal: Seal
    ) -> None:
        self._session_id, self._moment, self._seal_with = session_id, moment, seal
        self._last_id = session.last_event_id if session else None
        self._version = session.version if session else 0
        # A clock that went back must not turn the order of a session round.
        self._time = max(session.updated_at, moment.now) if session else moment.now
        self.events: list[Event] = []
        self.common: dict[str, Any] = {"actor": moment.actor, "request_id": moment.request_id}

    @property
    def actor(self) -> Actor:
        return self._moment.actor

    def seal(self, name: str, text: str | None) -> bytes | None:
        """Seal a text for a field of the next event that is added."""
        return None if text is None else self.seal_object(name, {"text": text})

    def seal_object(self, name: str, plaintext: dict[str, Any]) -> bytes:
        return self._seal_with(self._session_id, self._next_id(), name, plaintext)

    def add(self, data: KnownEventData) -> None:
        event = Event(
            id=self._next_id(),
            session_id=self._session_id,
            sequence=self._version + 1,
            time=self._time,
            data=data,
            traceparent=self._moment.traceparent,
        )
        self._last_id, self._version = event.id, event.sequence
        self.events.append(event)

    def _next_id(self) -> UUID:
        now_ms = int(self._time.timestamp() * 1000)
        return uuid7_after(self._last_id, now_ms, self._moment.randomness)
