"""Fake session service, as docs/internal-api.md describes it, without rules."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from aiohttp import web

from gateway_fakes.service import Call, FakeService, error, raw
from parley_contracts.api_models import ErrorShape, Message, Turn

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
_AS_IT_IS: Mapping[str, Any] = {}


class FakeSessionService(FakeService):
    name = "session"

    def __init__(self) -> None:
        super().__init__()
        self.turns: dict[UUID, Turn] = {}
        self.by_key: dict[str, UUID] = {}
        self.versions: dict[UUID, int] = {}
        """Committed versions; 0 of a session that is gone. Others are at version 1."""
        self.version_requests = 0

    @property
    def turn(self) -> Turn:
        """The turn opened last."""
        return list(self.turns.values())[-1]

    @property
    def turn_lookups(self) -> int:
        """How often the gateway looked a turn up."""
        return sum(call.path.startswith("/turns/") for call in self.calls)

    def end(
        self,
        content: str,
        status: str = "completed",
        reply: Mapping[str, Any] = _AS_IT_IS,
        **more: Any,
    ) -> Turn:
        """End the turn; `reply` and `more` change fields of the reply and the turn."""
        turn = self.turn
        said = _message(turn.reply_id, turn, "assistant", content, status, 4)
        changes = {
            "status": status,
            "reply": said.model_copy(update=dict(reply)),
            "version": 4,
            **more,
        }
        self.turns[turn.id] = turn.model_copy(update=changes)
        return self.turns[turn.id]

    def fail(self, content: str, code: str) -> Turn:
        reason = ErrorShape(message="It was lost.", type="server_error", code=code)
        return self.end(content, "failed", error=reason)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path != "/versions" or self.is_unavailable:
            return await super()._answer(request)
        call = await self._call(request)
        self.version_requests += 1
        asked = {UUID(id): self.versions.get(UUID(id), 1) for id in call.body["session_ids"]}
        versions = {str(id): version for id, version in asked.items() if version}
        return web.json_response({"versions": versions})

    async def handle(self, request: web.Request, call: Call) -> web.StreamResponse:
        if call.path.startswith("/turns/"):
            turn = self.turns.get(UUID(call.path.removeprefix("/turns/")))
            return raw(turn.to_json()) if turn else error(404, "turn_not_found")
        if not call.path.endswith(("/messages", "/regenerate")):
            return error(404, "not_scripted")
        if call.key in self.by_key:
            return raw(self.turns[self.by_key[call.key]].to_json())
        if call.body.get("attach") and self.turns:
            return raw(self.turn.to_json())
        turn = _opened(UUID(call.path.split("/")[2]), call.body.get("content", "As before"))
        self.turns[turn.id] = turn
        if call.key is not None:
            self.by_key[call.key] = turn.id
        return raw(turn.to_json(), 201)


def _opened(session_id: UUID, content: str) -> Turn:
    turn_id, reply_id = uuid4(), uuid4()
    message = Message(
        id=uuid4(),
        session_id=session_id,
        turn_id=turn_id,
        parent_message_id=None,
        role="user",
        content=content,
        status="completed",
        version=2,
        created_at=NOON,
    )
    return Turn(
        id=turn_id,
        session_id=session_id,
        status="running",
        message=message,
        reply_id=reply_id,
        reply=None,
        version=3,
    )


def _message(id: UUID, turn: Turn, role: Any, content: str, status: Any, version: int) -> Message:
    return Message(
        id=id,
        session_id=turn.session_id,
        turn_id=turn.id,
        parent_message_id=turn.message.id,
        role=role,
        content=content,
        status=status,
        version=version,
        created_at=NOON,
    )
