"""Builds the events of one decision: assigns sequence, id and time."""

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
    """Inputs of a decision besides the command: actor, request, UTC time, 74 random bits."""

    actor: Actor
    request_id: str
    now: datetime
    randomness: int
    traceparent: str | None = None


class EventBuilder:
    """Collects events that follow `session`, or that start the stream `session_id`."""

    def __init__(
        self,
        session_id: UUID,
        session: Session | None,
        command_metadata: CommandMetadata,
        seal: Seal,
    ) -> None:
        self._session_id, self._metadata, self._seal_with = session_id, command_metadata, seal
        self.actor, self.now = command_metadata.actor, command_metadata.now
        self._last_id = session.last_event_id if session else None
        self._version = session.version if session else 0
        # Event times must not decrease when the clock was set back.
        self._time = max(session.updated_at, self.now) if session else self.now
        self.events: list[Event] = []
        self.common_fields: dict[str, Any] = {
            "actor": self.actor,
            "request_id": command_metadata.request_id,
        }

    def seal(self, name: str, text: str | None) -> bytes | None:
        """Seal a text for field `name` of the next event."""
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
            traceparent=self._metadata.traceparent,
        )
        self._last_id, self._version = event.id, event.sequence
        self.events.append(event)

    def _next_id(self) -> UUID:
        return uuid7_after(self._last_id, self._time, self._metadata.randomness)
