"""Sample conversations: events as the session service appends them, generated without a store."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from parley_core.crypto.sealing import DataKey, seal
from parley_events.session import Event
from parley_events.values import Actor, Price, Usage
from parley_session.domain.session.commands import (
    Command,
    CompleteReply,
    StartSession,
    SubmitMessage,
)
from parley_session.domain.session.decide import decide
from parley_session.domain.session.event_builder import CommandMetadata
from parley_session.domain.session.state import Session, fold

Append = Sequence[Event]
QUESTION = "How do I keep a promise in a distributed system, and what does it cost me? " * 3
ANSWER = "You write it down before you make it, and you read it again before you act on it. " * 8


def sample_appends(session_id: UUID, count: int, key: DataKey | None = None) -> list[Append]:
    """The first `count` appends of a session: its start, then messages and replies in turn."""
    key = key or DataKey.generate()

    def seal_field(session: UUID, event: UUID, field: str, plaintext: dict[str, Any]) -> bytes:
        return seal(key, plaintext, session_id=session, event_id=event, field=field)

    session: Session | None = None
    appends: list[Append] = []
    for _ in range(count):
        metadata = CommandMetadata(
            Actor(tenant="default", user="ada"),
            "benchmark",
            datetime.now(UTC),
            secrets.randbits(74),
        )
        events = decide(session, _next_command(session, session_id), metadata, seal_field)
        session = fold(events, session)
        appends.append(events)
    return appends


def _next_command(session: Session | None, session_id: UUID) -> Command:
    if session is None:
        return StartSession(session_id, "helper", 1)
    if session.open_turn is None:
        return SubmitMessage(uuid4(), uuid4(), uuid4(), QUESTION, "demo")
    return CompleteReply(
        session.open_turn.id,
        ANSWER,
        "stop",
        first_token_ms=120,
        total_ms=900,
        usage=Usage(prompt_tokens=400, completion_tokens=150),
        price=Price(currency="USD", prompt=150_000, completion=600_000),
    )
