"""A fake session service for its callers: the routes that they use, with few of the rules.

`tests/e2e/test_session_service_fake.py` compares it with the real service.
"""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID, uuid4

import msgspec
from aiohttp import web

from parley_contracts.api_models import ErrorShape, Page, SessionShape, Turn, UsageShape
from parley_contracts.session_api.keys import (
    DataKeysRequest,
    DataKeysResponse,
    SearchKey,
    SearchKeysRequest,
    SearchKeysResponse,
)
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey
from parley_events.api_key import RevocationKind
from parley_testing.fake_api_keys import FakeApiKeys
from parley_testing.fake_service import Call, FakeService, raw
from parley_testing.peers import refusal
from parley_testing.stored_turn import NOON, EndStatus, StoredTurn

NO_FIELDS: Mapping[str, Any] = {}


class KnownSession(Protocol):
    """A session that the fake can describe, and whose data key it has."""

    id: UUID
    person: Principal
    key: DataKey

    @property
    def version(self) -> int: ...


class FakeSessionService(FakeService):
    name = "session"
    issuers = frozenset({"gateway", "inference", "history"})
    unrecorded = frozenset(
        {"versions", "heartbeat", "cancelled-turns", "authenticate"}
        | {"revocations", "all-revocations", "reads", "refusals"}
    )

    def __init__(self) -> None:
        super().__init__()
        self.turns: dict[UUID, StoredTurn] = {}
        self.sessions: dict[UUID, KnownSession] = {}
        self.versions: dict[UUID, int] = {}
        """Committed versions; 0 of a session that is gone. Others are at version 1."""
        self.version_requests = 0
        self.errors: dict[str, tuple[int, str]] = {}
        """Status and code of the response to each call of that name."""
        self.erased: set[UUID] = set()
        """Sessions whose data keys are destroyed, which heartbeats name."""
        self.search_keys: dict[tuple[str, str], DataKey] = {}
        self.api_keys = FakeApiKeys()
        self.revoked_tokens: list[dict[str, str]] = []
        self.heartbeats: list[list[str]] = []
        self.capacity: int | None = None
        """That of the last heartbeat."""
        self.limits: list[dict[str, Any]] = []
        """Those of session in which the caller stands somewhere."""
        self.recorded_reads: list[Call] = []
        self.refused: list[dict[str, Any]] = []
        """Refused access that gateways reported."""
        self.stops: list[dict[str, str]] = []
        self.stuck_heartbeats: set[int] = set()
        """Heartbeats that are never answered, counted from 1."""
        self.instructions = "Be kind."
        self.contexts: list[dict[str, Any]] = []
        """Fields of the contexts of the next claims."""
        self.parameters: dict[str, Any] = {}
        """Sampling parameters of the assistant."""
        self.requested_tasks: dict[str, Any] = {"suggest_title": False, "compact": None}
        self._by_key: dict[str, UUID] = {}

    def revoke(self, kind: RevocationKind, target: str, tenant: str = "default") -> None:
        """Refuse the tokens that were issued before now."""
        now = datetime.now(UTC).isoformat()
        revoked = {"tenant": tenant, "kind": kind, "target": target, "revoked_at": now}
        self.revoked_tokens.append(revoked)

    def add(self, *sessions: KnownSession) -> None:
        self.sessions |= {session.id: session for session in sessions}

    def open_turn(self, question: str = "Hello?", model: str = "demo", **fields: Any) -> StoredTurn:
        turn = StoredTurn(uuid4(), fields.pop("session_id", uuid4()), question, model, **fields)
        self.turns[turn.id] = turn
        return turn

    @property
    def turn(self) -> Turn:
        """The turn opened last."""
        return self._newest.shape()

    def end(
        self,
        content: str,
        status: EndStatus = "completed",
        reply: Mapping[str, Any] = NO_FIELDS,
    ) -> Turn:
        """End the turn opened last; `reply` has further fields of the reply."""
        self._newest.end(status, content, **reply)
        return self.turn

    def fail(self, content: str, code: str) -> Turn:
        self._newest.error = ErrorShape(message="It was lost.", type="server_error", code=code)
        return self.end(content, "failed")

    @property
    def _newest(self) -> StoredTurn:
        return list(self.turns.values())[-1]

    async def handle(self, _request: web.Request, call: Call, /) -> web.StreamResponse:
        if call.name == "heartbeat":
            self.heartbeats.append(call.body["turns"])
            self.capacity = call.body["capacity"]
        if call.name in self.errors:
            return refusal(*self.errors[call.name])
        match (call.method, *call.path.strip("/").split("/")):
            case "POST", "sessions", id, "messages" | "regenerate":
                return self._open(UUID(id), call)
            case _, "turns", id, *action:
                turn = self.turns.get(UUID(id))
                # Inference ends turns in its own name.
                by_owner = action not in (["complete"], ["fail"])
                if turn is None or (by_owner and not _is_same_user(turn.owner, call.principal)):
                    return refusal(404, "turn_not_found")
                return self._answer_turn(turn, action, call)
            case "POST", "runners", _, "heartbeat":
                if len(self.heartbeats) in self.stuck_heartbeats:
                    await asyncio.Event().wait()
                return web.json_response({"stop": self.stops, "erased": [*map(str, self.erased)]})
            case "GET", "runners", _, "cancelled-turns":
                # The heartbeats name the cancelled turns of a test.
                return web.json_response({"turns": []})
            case "POST", "versions":
                return self._requested_versions(call)
            case "GET", "latest-versions":
                known = {str(id): version for id, version in self.versions.items() if version}
                return web.json_response({"versions": known})
            case "GET", "sessions", id:
                session = self.sessions.get(UUID(id))
                if session is None or not _is_same_user(session.person, call.principal):
                    return refusal(404, "session_not_found")
                return raw(_shape(session).to_json())
            case _, "api-keys", *rest:
                return await self.api_keys.answer(call, *rest)
            case "GET", "revocations":
                keys = {"api_keys": self.api_keys.revoked, "complete": True}
                tokens = {"tokens": self.revoked_tokens, "tokens_complete": True}
                return web.json_response(keys | tokens)
            case "GET", "all-revocations":
                is_first = bool(self.revoked_tokens) and not call.query
                page = self.revoked_tokens if is_first else []
                return web.json_response(
                    {"tokens": page, "next": str(uuid4()) if is_first else None}
                )
            case "GET", "audit" if "audit:read" in call.principal.scopes:
                return raw(Page(data=[], first_id=None, last_id=None).to_json())
            case "GET", "audit":
                return refusal(403, "missing_scope")
            case "POST", "audit", "reads":
                self.recorded_reads.append(call)
                return web.json_response({})
            case "POST", "audit", "refusals":
                self.refused += call.body["refused"]
                return web.json_response({})
            case ("POST", "completions", "admission") | ("DELETE", "completions", "admission", _):
                return web.json_response({})
            case "GET", "limits":
                return web.json_response({"limits": self.limits})
            case "POST", "keys":
                return self._data_keys(call)
            case "POST", "search-keys":
                return self._search_keys(call)
            case ("POST", "sessions", _, "title" | "compaction") | ("POST", "completions"):
                return web.json_response({})
            case _:
                return refusal(404, "not_scripted")

    def _open(self, session_id: UUID, call: Call) -> web.Response:
        if call.key in self._by_key:
            return raw(self.turns[self._by_key[call.key]].shape().to_json())
        if call.body.get("attach") and self.turns:
            return raw(self.turn.to_json())
        question = call.body.get("content", "As before")
        turn = self.open_turn(question, session_id=session_id, owner=call.principal)
        if call.key is not None:
            self._by_key[call.key] = turn.id
        return raw(turn.shape().to_json(), 201)

    def _answer_turn(self, turn: StoredTurn, action: list[str], call: Call) -> web.Response:
        match action:
            case ["claim"]:
                return web.json_response(self._claimed(turn, call.body["runner"]))
            case ["complete" | "fail"] if turn.runner != call.body["runner"]:
                return refusal(403, "not_the_runner")
            case ["complete"] if turn.status == "running":
                fields = {"finish_reason": call.body["finish_reason"]}
                _end(turn, "completed", call.body["content"], call.body, **fields)
            case ["fail"] if turn.status == "running":
                partial, code = call.body.get("partial_content", ""), call.body["code"]
                if code != "cancelled":
                    turn.error = ErrorShape(
                        message=call.body.get("details", ""), type="server_error", code=code
                    )
                _end(turn, "cancelled" if code == "cancelled" else "failed", partial, call.body)
        return raw(turn.shape().to_json())

    def _claimed(self, turn: StoredTurn, runner: str) -> dict[str, Any]:
        is_running = turn.status == "running"
        claimed = is_running and turn.runner in (None, runner)
        if claimed:
            turn.runner = runner
        return {
            "claimed": claimed,
            "turn": json.loads(turn.shape().to_json()),
            "run": self._run(turn) if claimed else None,
            "key": msgspec.to_builtins(turn.key.secret) if is_running else None,
        }

    def _run(self, turn: StoredTurn) -> dict[str, Any]:
        message = {"id": str(turn.message_id), "role": "user", "content": turn.question}
        context = {
            "base": None,
            "version": turn.version,
            "budget": 1_000,
            "tokens": 10,
            "messages": [message],
        }
        if self.contexts:
            context |= self.contexts.pop(0)
        run = {"model": turn.model, "instructions": self.instructions, "context": context}
        return run | self.requested_tasks | {"parameters": self.parameters}

    def _requested_versions(self, call: Call) -> web.Response:
        self.version_requests += 1
        requested = {id: self.versions.get(UUID(id), 1) for id in call.body["session_ids"]}
        versions = {id: version for id, version in requested.items() if version}
        return web.json_response({"versions": versions})

    def _data_keys(self, call: Call) -> web.Response:
        ids = msgspec.convert(call.body, DataKeysRequest).session_ids
        known = {
            id: None if id in self.erased else self.sessions[id].key.secret
            for id in ids
            if id in self.sessions
        }
        return raw(msgspec.json.encode(DataKeysResponse(known)))

    def _search_keys(self, call: Call) -> web.Response:
        people = {(each.person.tenant, each.person.user) for each in self.sessions.values()}
        keys = []
        for person in msgspec.convert(call.body, SearchKeysRequest).people:
            key = None
            if (owner := (person.tenant, person.user)) in people:
                key = self.search_keys.setdefault(owner, DataKey.generate()).secret
            keys.append(SearchKey(person.tenant, person.user, key))
        return raw(msgspec.json.encode(SearchKeysResponse(keys)))


def _shape(session: KnownSession) -> SessionShape:
    return SessionShape(
        id=session.id,
        assistant_id="helper",
        title=None,
        metadata={},
        version=session.version,
        created_at=NOON,
        updated_at=NOON,
    )


def _end(
    turn: StoredTurn, status: EndStatus, content: str, body: dict[str, Any], **fields: Any
) -> None:
    usage = body.get("usage")
    if usage is not None:
        total = usage["prompt_tokens"] + usage["completion_tokens"]
        usage = UsageShape(total_tokens=total, **usage)
    turn.end(status, content, usage=usage, model=turn.model, **fields)


def _is_same_user(one: Principal, other: Principal) -> bool:
    return (one.tenant, one.user) == (other.tenant, other.user)
