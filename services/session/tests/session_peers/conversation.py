"""A session as pure data: what was said becomes its state, without a store."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from parley_core.events import Actor, Event
from parley_session.domain.commands import (
    Command,
    CompleteReply,
    FailReply,
    StartSession,
    SubmitMessage,
)
from parley_session.domain.decide import decide
from parley_session.domain.drafts import Moment
from parley_session.domain.state import Session, fold

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MOMENT = Moment(Actor(tenant="default", user="ada"), "req-1", NOON, randomness=7)
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

    def ask(self, text: str, parent: UUID | None = None) -> UUID:
        """The message's id; its turn is open."""
        ids = uuid4(), uuid4(), uuid4()
        self._do(SubmitMessage(*ids, text, "demo", parent))
        return ids[0]

    def reply(self, text: str) -> UUID:
        """The reply's id; a failed one without text where `text` is empty."""
        turn = self.session.open_turn
        assert turn is not None
        if text:
            self._do(CompleteReply(turn.id, text, "stop", 1, 2))
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
