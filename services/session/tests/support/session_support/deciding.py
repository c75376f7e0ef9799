"""Given/when helpers for decisions on a session."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from parley_events.session import Event
from parley_events.values import Actor
from parley_session.domain.session.commands import (
    Command,
    CompleteReply,
    FailReply,
    StartSession,
    SubmitMessage,
)
from parley_session.domain.session.decide import decide
from parley_session.domain.session.event_builder import CommandMetadata
from parley_session.domain.session.state import Session, fold

SESSION, MESSAGE, TURN, REPLY = (UUID(int=n) for n in range(1, 5))
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ADA = CommandMetadata(Actor(tenant="default", user="ada"), "req-1", NOON, randomness=7)
MALLORY = replace(ADA, actor=Actor(tenant="default", user="mallory"))
OTHER_TENANT = replace(ADA, actor=Actor(tenant="other", user="ada"))
PARLEY = replace(ADA, actor=Actor(tenant="parley", user="session", system=True))

START = StartSession(SESSION, "helper", 1, title="Greetings")
SUBMIT = SubmitMessage(MESSAGE, TURN, REPLY, "hello", "demo")
NEXT = SubmitMessage(UUID(int=12), UUID(int=13), UUID(int=14), "and then?", "demo")
COMPLETE = CompleteReply(TURN, "hi", "stop", first_token_ms=10, total_ms=20)
FAIL = FailReply(TURN, "upstream_timeout", partial_content="h")


def seal(session_id: UUID, event_id: UUID, field: str, plaintext: dict[str, Any]) -> bytes:
    return f"{session_id}|{event_id}|{field}|{plaintext}".encode()


def given(*commands: Command) -> tuple[Session | None, list[Event]]:
    """The session of Ada after these commands, and its events."""
    session: Session | None = None
    events: list[Event] = []
    for command in commands:
        new = decide(session, command, ADA, seal)
        events += new
        session = fold(new, session)
    return session, events


def when(
    session: Session | None, command: Command, command_metadata: CommandMetadata = ADA
) -> list[Any]:
    """The data of the events that result from the command."""
    return [event.data for event in decide(session, command, command_metadata, seal)]


def types(events: list[Event]) -> list[str]:
    return [event.type.split(".")[2] for event in events]
