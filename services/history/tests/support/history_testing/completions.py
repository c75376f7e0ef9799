"""Completions without a conversation, for tests."""

from datetime import datetime
from uuid import uuid4

from history_testing.stories import ADA, NOON, PRICE, USED, Story
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey
from parley_events.session import CompletionServed, Event
from parley_events.values import Price, Usage


class Completion(Story):
    """A completion without a conversation, recorded as a single event."""

    def __init__(
        self,
        person: Principal = ADA,
        *,
        starts_at: datetime = NOON,
        model: str = "demo",
        status: str = "completed",
        usage: Usage = USED,
        price: Price | None = PRICE,
    ) -> None:
        self.id, self.key, self.person = uuid4(), DataKey.generate(), person
        self.events: list[Event] = []
        self._starts_at = starts_at
        self._add(
            CompletionServed,
            owner=person.user,
            tenant=person.tenant,
            model=model,
            status=status,
            usage=usage,
            price=price,
        )
