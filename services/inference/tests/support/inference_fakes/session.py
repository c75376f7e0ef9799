"""A fake session service for one runner: the routes that inference calls, without rules."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Self
from uuid import UUID, uuid4

from aiohttp import web

from parley_contracts.api_models import ErrorShape, Message, Turn, TurnStatus, UsageShape
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey
from parley_testing.peers import caller_of, listening, refusal

EndStatus = Literal["completed", "failed", "cancelled"]

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ADA = Principal("default", "ada")
PRINCIPAL = web.RequestKey("principal", Principal)


@dataclass
class StoredTurn:
    id: UUID
    session_id: UUID
    question: str
    model: str
    reply_id: UUID = field(default_factory=uuid4)
    message_id: UUID = field(default_factory=uuid4)
    runner: str | None = None
    status: TurnStatus = "running"
    reply: Any = None
    error: ErrorShape | None = None
    version: int = 3
    key: DataKey = field(default_factory=DataKey.generate)

    def shape(self) -> Turn:
        message = self.message(self.message_id, "user", self.question, "completed", version=2)
        return Turn(
            id=self.id,
            session_id=self.session_id,
            status=self.status,
            message=message,
            reply_id=self.reply_id,
            reply=self.reply,
            error=self.error,
            version=self.version,
        )

    def end(self, status: EndStatus, content: str, **more: Any) -> None:
        self.status, self.version = status, self.version + 1
        self.reply = self.message(
            self.reply_id, "assistant", content, status, version=self.version, **more
        )

    def message(
        self,
        id: UUID,
        role: Literal["user", "assistant"],
        content: str,
        status: EndStatus,
        **more: Any,
    ) -> Message:
        return Message(
            id=id,
            session_id=self.session_id,
            turn_id=self.id,
            parent_message_id=self.message_id if role == "assistant" else None,
            role=role,
            content=content,
            status=status,
            created_at=NOON,
            **more,
        )


class FakeSessionService:
    def __init__(self) -> None:
        self.url = ""
        self.turns: dict[UUID, StoredTurn] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.callers: list[tuple[str, Principal, str]] = []
        self.heartbeats: list[list[str]] = []
        self.capacity: int | None = None
        """That of the last heartbeat."""
        self.stops: list[dict[str, str]] = []
        self.erased: list[str] = []
        self.stuck_heartbeats: set[int] = set()
        """Heartbeats that are never answered, counted from 1."""
        self.errors: dict[str, tuple[int, str]] = {}
        self.instructions = "Be kind."
        self.contexts: list[dict[str, Any]] = []
        self.parameters: dict[str, Any] = {}
        self.requested_tasks: dict[str, Any] = {"suggest_title": False, "compact": None}

    def open_turn(self, question: str = "Hello?", model: str = "demo", **fields: Any) -> StoredTurn:
        turn = StoredTurn(uuid4(), fields.pop("session_id", uuid4()), question, model, **fields)
        self.turns[turn.id] = turn
        return turn

    def called(self, name: str) -> list[dict[str, Any]]:
        return [body for called, body in self.calls if called == name]

    @classmethod
    @asynccontextmanager
    async def serve(cls) -> AsyncIterator[Self]:
        session = cls()
        app = web.Application(middlewares=[session._record], client_max_size=2**22)
        app.router.add_get("/turns/{id}", session._get)
        app.router.add_post("/turns/{id}/claim", session._claim)
        app.router.add_post("/turns/{id}/complete", session._complete)
        app.router.add_post("/turns/{id}/fail", session._fail)
        app.router.add_post("/runners/{id}/heartbeat", session._heartbeat)
        app.router.add_get("/runners/{id}/cancelled-turns", session._cancelled_turns)
        app.router.add_post("/sessions/{id}/title", session._accept)
        app.router.add_post("/sessions/{id}/compaction", session._accept)
        app.router.add_post("/completions", session._accept)
        async with listening(app) as session.url:
            yield session

    @web.middleware
    async def _record(self, request: web.Request, handler: Any) -> web.StreamResponse:
        name = request.path.rsplit("/", 1)[-1] if request.method == "POST" else "get"
        body = await request.json() if request.can_read_body else {}
        request[PRINCIPAL] = caller_of(request, issuer="inference", audience="session")
        if name == "heartbeat":
            self.heartbeats.append(body["turns"])
            self.capacity = body["capacity"]
        elif not request.path.endswith("/cancelled-turns"):
            self.calls.append((name, body))
            self.callers.append((name, request[PRINCIPAL], request.headers["x-request-id"]))
        if name in self.errors:
            return refusal(*self.errors[name])
        response: web.StreamResponse = await handler(request)
        return response

    async def _cancelled_turns(self, _: web.Request) -> web.Response:
        """Names none: the heartbeats name the cancelled turns of a test."""
        return web.json_response({"turns": []})

    async def _get(self, request: web.Request) -> web.Response:
        turn = self._owned(request)
        return web.Response(body=turn.shape().to_json()) if turn else refusal(404, "turn_not_found")

    async def _claim(self, request: web.Request) -> web.Response:
        turn, body = self._owned(request), await request.json()
        if turn is None:
            return refusal(404, "turn_not_found")
        claimed = turn.status == "running" and turn.runner in (None, body["runner"])
        if claimed:
            turn.runner = body["runner"]
        shape = json.loads(turn.shape().to_json())
        run = self._run(turn) if claimed else None
        key = base64.b64encode(turn.key.secret).decode() if turn.status == "running" else None
        return web.json_response({"claimed": claimed, "turn": shape, "run": run, "key": key})

    def _run(self, turn: StoredTurn) -> dict[str, Any]:
        message = {"id": str(turn.message_id), "role": "user", "content": turn.question}
        context: dict[str, Any] = {
            "base": None,
            "version": turn.version,
            "budget": 1_000,
            "tokens": 10,
        }
        context["messages"] = [message]
        if self.contexts:
            context |= self.contexts.pop(0)
        run = {"model": turn.model, "instructions": self.instructions, "context": context}
        return run | self.requested_tasks | {"parameters": self.parameters}

    async def _complete(self, request: web.Request) -> web.Response:
        body = await request.json()
        return self._end(
            request, body, "completed", body["content"], finish_reason=body["finish_reason"]
        )

    async def _fail(self, request: web.Request) -> web.Response:
        body = await request.json()
        status: EndStatus = "cancelled" if body["code"] == "cancelled" else "failed"
        turn = self._named(request)
        if status == "failed" and turn.status == "running":
            turn.error = ErrorShape(message=body["details"], type="server_error", code=body["code"])
        return self._end(request, body, status, body.get("partial_content", ""))

    def _end(
        self,
        request: web.Request,
        body: dict[str, Any],
        status: EndStatus,
        content: str,
        **more: Any,
    ) -> web.Response:
        turn = self._named(request)
        if turn.runner != body["runner"]:
            return refusal(403, "not_the_runner")
        if turn.status == "running":
            turn.end(status, content, usage=_usage(body.get("usage")), model=turn.model, **more)
        return web.Response(body=turn.shape().to_json())

    async def _heartbeat(self, _: web.Request) -> web.Response:
        if len(self.heartbeats) in self.stuck_heartbeats:
            await asyncio.Event().wait()
        return web.json_response({"stop": self.stops, "erased": self.erased})

    async def _accept(self, _: web.Request) -> web.Response:
        return web.json_response({})

    def _named(self, request: web.Request) -> StoredTurn:
        return self.turns[UUID(request.match_info["id"])]

    def _owned(self, request: web.Request) -> StoredTurn | None:
        owned = request[PRINCIPAL] == ADA
        return self.turns.get(UUID(request.match_info["id"])) if owned else None


def _usage(usage: dict[str, Any] | None) -> UsageShape | None:
    if usage is None:
        return None
    return UsageShape(total_tokens=usage["prompt_tokens"] + usage["completion_tokens"], **usage)
