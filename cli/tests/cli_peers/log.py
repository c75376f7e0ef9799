"""A topic with conversations in it, and a session service that gives the keys to them."""

import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from aiohttp import web

from parley_core.crypto.sealing import DataKey, seal
from parley_core.log import Brokers, LogWriter
from parley_events.cloudevents import Record, encode
from parley_events.session import (
    Event,
    KnownEventData,
    MessageSubmitted,
    ReplyCompleted,
    SessionStarted,
)
from parley_events.uuid7 import uuid7_after
from parley_events.values import Actor, Usage
from parley_testing.peers import caller_of, listening

MORNING = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


class Conversation:
    """A session of one person, whose events are a minute apart; `records` are theirs."""

    def __init__(
        self, user: str = "ada", tenant: str = "default", began: datetime = MORNING
    ) -> None:
        self.id, self.key = uuid4(), DataKey.generate()
        self.records: list[Record] = []
        self._actor, self._time = Actor(tenant=tenant, user=user), began
        self._last: UUID | None = None
        common = {"actor": self._actor, "request_id": "r"}
        self._add(
            SessionStarted(
                **common, owner=user, tenant=tenant, assistant_id="helper", assistant_version=1
            )
        )

    def said(self, text: str) -> "Conversation":
        event_id = self._next_id()
        sealed = self._sealed(event_id, "content", text)
        data = MessageSubmitted(
            actor=self._actor, request_id="r", message_id=uuid4(), content=sealed
        )
        return self._add(data, event_id)

    def answered(self, text: str, model: str = "gpt") -> "Conversation":
        event_id = self._next_id()
        data = ReplyCompleted(
            actor=Actor(tenant="parley", user="inference", system=True),
            request_id="r",
            turn_id=uuid4(),
            reply_id=uuid4(),
            model=model,
            usage=Usage(prompt_tokens=12, completion_tokens=34),
            content=self._sealed(event_id, "content", text),
            finish_reason="stop",
            first_token_ms=1,
            total_ms=900,
        )
        return self._add(data, event_id)

    def _add(self, data: KnownEventData, event_id: UUID | None = None) -> "Conversation":
        self._last = event_id or self._next_id()
        event = Event(self._last, self.id, len(self.records) + 1, self._time, data)
        self.records.append(encode(event))
        self._time += timedelta(minutes=1)
        return self

    def _next_id(self) -> UUID:
        return uuid7_after(self._last, int(self._time.timestamp() * 1000), uuid4().int)

    def _sealed(self, event_id: UUID, field: str, text: str) -> bytes:
        place = {"session_id": self.id, "event_id": event_id, "field": field}
        return seal(self.key, {"text": text}, **place)


async def append(brokers: Brokers, topic: str, records: Sequence[Record]) -> None:
    writer = LogWriter(brokers, topic)
    try:
        await writer.start()
        assert (await writer.append(records, timeout=20)).error is None
    finally:
        await writer.close()


@asynccontextmanager
async def session_with_keys(keys: dict[UUID, DataKey | None]) -> AsyncIterator[str]:
    """The URL of a session service that knows these sessions; None is an erased one's key."""

    async def answer(request: web.Request) -> web.Response:
        caller_of(request, issuer="cli", audience="session")
        asked = (await request.json())["session_ids"]
        assert len(asked) <= 100
        known = {str(session): key for session, key in keys.items() if str(session) in asked}
        return web.json_response(
            {
                "keys": {
                    session: base64.b64encode(key.secret).decode() if key else None
                    for session, key in known.items()
                }
            }
        )

    app = web.Application()
    app.router.add_post("/keys", answer)
    async with listening(app) as url:
        yield url
