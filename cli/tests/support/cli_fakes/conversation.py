"""Fake conversations to append to a topic, and a fake session service with their data keys."""

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


class FakeConversation:
    """The records of a session of one user, with events one minute apart."""

    def __init__(
        self, user: str = "ada", tenant: str = "default", started_at: datetime = MORNING
    ) -> None:
        self.id, self.key = uuid4(), DataKey.generate()
        self.records: list[Record] = []
        self._actor, self._time = Actor(tenant=tenant, user=user), started_at
        self._last_id: UUID | None = None
        self._add(
            SessionStarted(
                actor=self._actor,
                request_id="r",
                owner=user,
                tenant=tenant,
                assistant_id="helper",
                assistant_version=1,
            )
        )

    def submitted(self, text: str) -> "FakeConversation":
        event_id = self._next_id()
        sealed = self._seal(event_id, "content", text)
        data = MessageSubmitted(
            actor=self._actor, request_id="r", message_id=uuid4(), content=sealed
        )
        return self._add(data, event_id)

    def replied(self, text: str, model: str = "gpt") -> "FakeConversation":
        event_id = self._next_id()
        data = ReplyCompleted(
            actor=Actor(tenant="parley", user="inference", system=True),
            request_id="r",
            turn_id=uuid4(),
            reply_id=uuid4(),
            model=model,
            usage=Usage(prompt_tokens=12, completion_tokens=34),
            content=self._seal(event_id, "content", text),
            finish_reason="stop",
            first_token_ms=1,
            total_ms=900,
        )
        return self._add(data, event_id)

    def _add(self, data: KnownEventData, event_id: UUID | None = None) -> "FakeConversation":
        self._last_id = event_id or self._next_id()
        event = Event(self._last_id, self.id, len(self.records) + 1, self._time, data)
        self.records.append(encode(event))
        self._time += timedelta(minutes=1)
        return self

    def _next_id(self) -> UUID:
        return uuid7_after(self._last_id, self._time, uuid4().int)

    def _seal(self, event_id: UUID, field: str, text: str) -> bytes:
        return seal(self.key, {"text": text}, session_id=self.id, event_id=event_id, field=field)


async def append(brokers: Brokers, topic: str, records: Sequence[Record]) -> None:
    writer = LogWriter(brokers, topic)
    try:
        await writer.start()
        assert (await writer.append(records, timeout=20)).error is None
    finally:
        await writer.close()


@asynccontextmanager
async def session_with_keys(keys: dict[UUID, DataKey | None]) -> AsyncIterator[str]:
    """The URL of a session service with these data keys; None stands for an erased session."""

    async def keys_response(request: web.Request) -> web.Response:
        caller_of(request, issuers={"cli"}, audience="session")
        requested = (await request.json())["session_ids"]
        assert len(requested) <= 100
        known = {str(session): key for session, key in keys.items() if str(session) in requested}
        return web.json_response(
            {
                "keys": {
                    session: base64.b64encode(key.secret).decode() if key else None
                    for session, key in known.items()
                }
            }
        )

    app = web.Application()
    app.router.add_post("/keys", keys_response)
    async with listening(app) as url:
        yield url
