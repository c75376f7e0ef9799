"""Builds the state of a session from messages, without a store."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from parley_events.session import Event
from parley_events.values import Actor, Usage
from parley_session.domain.session.commands import (
    Command,
    CompactContext,
    CompleteReply,
    FailReply,
    ImportedMessage,
    ImportMessages,
    RegenerateReply,
    StartSession,
    SubmitMessage,
)
from parley_session.domain.session.decide import decide
from parley_session.domain.session.event_builder import CommandMetadata
from parley_session.domain.session.state import Role, Session, fold

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MOMENT = CommandMetadata(Actor(tenant="default", user="ada"), "req-1", NOON, randomness=7)
_SEALED_BYTES_MORE = 29


class Conversation:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self._session: Session | None = None
        self._do(StartSession(uuid4(), "helper", 1))

    @property
    def session(self) -> Session:
        assert self._session is not None
        return self._session

    def ask(self, text: str, parent: UUID | None = None, tokens: int | None = None) -> UUID:
        """Submits a message and returns its id."""
        ids = uuid4(), uuid4(), uuid4()
        self._do(SubmitMessage(*ids, text, "demo", parent, tokens=tokens))
        return ids[0]

    def ask_again(self, message_id: UUID) -> None:
        """Opens another turn for a message."""
        self._do(RegenerateReply(message_id, uuid4(), uuid4(), "demo"))

    def compact(self, up_to: UUID, summary: str) -> None:
        self._do(CompactContext(up_to, summary, "demo"))

    def bring(self, role: Role, text: str) -> UUID:
        """Imports a message and returns its id."""
        message = ImportedMessage(uuid4(), role, text, NOON)
        self._do(ImportMessages([message]))
        return message.id

    def reply(self, text: str, usage: Usage | None = None) -> UUID:
        """Ends the turn and returns the reply's id; an empty text fails it."""
        turn = self.session.open_turn
        assert turn is not None
        if text:
            self._do(CompleteReply(turn.id, text, "stop", 1, 2, usage))
        else:
            self._do(FailReply(turn.id, "upstream_timeout"))
        return turn.reply_id

    def _do(self, command: Command) -> None:
        new = decide(self._session, command, MOMENT, as_long_as_sealed)
        self.events += new
        self._session = fold(new, self._session)


def as_long_as_sealed(_: UUID, __: UUID, ___: str, plaintext: dict[str, Any]) -> bytes:
    text = json.dumps(plaintext, ensure_ascii=False, separators=(",", ":"))
    return bytes(_SEALED_BYTES_MORE) + text.encode()
