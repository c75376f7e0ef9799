"""A simulated stream: its clock, ids and sequence, and the content of its sealed fields."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

from parley_cli.log.generation.synthetic_people import (
    choose_assistant,
    choose_tenant,
    choose_user,
)
from parley_core.crypto.sealing import FORMAT, NONCE_BYTES, TAG_BYTES
from parley_events.session import Event, KnownEventData
from parley_events.uuid7 import uuid7_after
from parley_events.values import Actor, Usage

_SEALING_BYTES = len(FORMAT) + NONCE_BYTES + TAG_BYTES
WORDS = (
    "the log keeps every event in order and a reader folds it into what people see while writers "
    "append only what they know and nobody waits for a lock so a stream resumes where it broke "
)
TEXT = WORDS * 40

Fields = Mapping[str, Mapping[str, Any]]
"""The content of the sealed fields of an event."""


class SimulatedEvent(NamedTuple):
    event: Event
    content: Fields


class SimulatedStream:
    """Makes the events of one stream; `clock` is the time of the next one."""

    def __init__(self, random: Random, started_at: datetime) -> None:
        self.random, self.clock = random, started_at
        self.tenant = choose_tenant(random)
        self.owner = choose_user(random, self.tenant)
        self.assistant = choose_assistant(random)
        self._session_id = self.uuid()
        self._id: UUID | None = None
        self._sequence = 0
        self.leaf: UUID | None = None
        self.user = Actor(tenant=self.tenant.name, user=self.owner)
        self.system = Actor(tenant=self.tenant.name, user="parley", system=True)

    def plain(self, kind: Any, **fields: Any) -> SimulatedEvent:
        return self.event(
            lambda seal: kind(
                actor=self.user,
                request_id=self.request(),
                **{name: v(seal) if callable(v) else v for name, v in fields.items()},
            )
        )

    def event(self, make: Callable[[Callable[..., bytes]], KnownEventData]) -> SimulatedEvent:
        content: dict[str, Mapping[str, Any]] = {}

        def seal(field: str, value: Mapping[str, Any]) -> bytes:
            # Nobody can open it: only its length is that of real ciphertext.
            content[field] = value
            size = _SEALING_BYTES + sum(len(str(k)) + len(str(v)) + 8 for k, v in value.items())
            return FORMAT + self.random.randbytes(size - 1)

        data = make(seal)
        self._id = uuid7_after(self._id, self.clock, self.random.getrandbits(74))
        self._sequence += 1
        time = self.clock.replace(microsecond=self.clock.microsecond // 1000 * 1000)
        return SimulatedEvent(
            Event(self._id, self._session_id, self._sequence, time, data), content
        )

    def pause(self) -> None:
        """The time until the user's next act: about a minute; sometimes the next day."""
        if self.random.random() < 0.04:
            self.clock += timedelta(hours=24 * self.random.random())
        self.clock += timedelta(seconds=self.random.lognormvariate(3.5, 1))

    def usage(self, length: int) -> Usage:
        completion = 1 + int(min(1_500, self.random.lognormvariate(4.6, 0.8)))
        return Usage(prompt_tokens=40 + 90 * min(length, 40), completion_tokens=completion)

    def text(self, words: int) -> str:
        start = self.random.randrange(len(WORDS))
        return TEXT[start : start + 6 * self.random.randint(2, 2 * words)]

    def request(self) -> str:
        return f"req-{self.random.getrandbits(48):012x}"

    def uuid(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)
