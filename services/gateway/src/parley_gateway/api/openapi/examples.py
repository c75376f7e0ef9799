"""The examples of the OpenAPI document, made of the same shapes as what they stand for."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from parley_contracts import turn_sse as sse
from parley_contracts.api_models import Assistant, Message, SessionShape, Turn, UsageShape
from parley_core.http.errors import error_body
from parley_gateway.chat_completions.chunks import CompletionChunks
from parley_gateway.chat_completions.responses import ChatCompletion, completion_of
from parley_gateway.schemas.responses import (
    AssistantList,
    AssistantSwitch,
    Cost,
    HistoryImport,
    MessageList,
    Model,
    ModelList,
    SearchResult,
    SearchResults,
    SessionDeleted,
    SessionList,
    SessionsDeleted,
    UsageGroup,
    UsageReport,
    UsageTotals,
)

_SESSION_ID = UUID("0199c1f0-7a10-7c52-9d3e-6f1a2b3c4d5e")
_TURN_ID = UUID("0199c1f0-7b22-7e01-8a4b-0c1d2e3f4a5b")
_REPLY_ID = UUID("0199c1f0-7b22-7e01-8a4b-0c1d2e3f4a5c")
_TIME = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)

_ASKED = Message(
    id=UUID("0199c1f0-7b22-7e01-8a4b-0c1d2e3f4a5d"),
    session_id=_SESSION_ID,
    turn_id=_TURN_ID,
    parent_message_id=None,
    role="user",
    content="Hello! My name is Ada.",
    status="completed",
    version=2,
    created_at=_TIME,
)
_REPLY = Message(
    id=_REPLY_ID,
    session_id=_SESSION_ID,
    turn_id=_TURN_ID,
    parent_message_id=_ASKED.id,
    role="assistant",
    content="Hello, Ada!",
    status="completed",
    version=4,
    created_at=_TIME,
    model="parley-demo",
    finish_reason="stop",
    usage=UsageShape(prompt_tokens=31, completion_tokens=4, total_tokens=35),
)
_SESSION = SessionShape(
    id=_SESSION_ID,
    assistant_id="helper",
    title="Holidays",
    metadata={"topic": "travel"},
    version=4,
    created_at=_TIME,
    updated_at=_TIME,
)
_TURN = Turn(
    id=_TURN_ID,
    session_id=_SESSION_ID,
    status="completed",
    message=_ASKED,
    reply_id=_REPLY_ID,
    reply=_REPLY,
    version=4,
)
_ASSISTANT = Assistant(
    id="helper",
    version=1,
    name="Helper",
    description="Helps with anything.",
    model=None,
    default=True,
)
_MODEL = Model(id="parley-demo", created=0, owned_by="parley", context_size=128_000)
_TOTALS = UsageTotals(
    replies=1,
    prompt_tokens=31,
    completion_tokens=4,
    total_tokens=35,
    estimated_tokens=0,
    cost=[Cost(currency="USD", micros=13)],
)
_EXAMPLES: dict[type[BaseModel], BaseModel] = {
    SessionShape: _SESSION,
    Turn: _TURN,
    MessageList: MessageList(
        data=[_REPLY, _ASKED], first_id=_REPLY.id, last_id=_ASKED.id, version=4
    ),
    SessionList: SessionList(data=[_SESSION], first_id=_SESSION_ID, last_id=_SESSION_ID),
    SessionDeleted: SessionDeleted(id=_SESSION_ID, erased=True, erase_at=None, version=5),
    SessionsDeleted: SessionsDeleted(erased=3, held=0, has_more=False),
    HistoryImport: HistoryImport(session_id=_SESSION_ID, imported=2, skipped=0, version=6),
    SearchResults: SearchResults(
        data=[SearchResult(session_id=_SESSION_ID, session_title="Holidays", message=_REPLY)],
        first_id=_REPLY_ID,
        last_id=_REPLY_ID,
    ),
    Assistant: _ASSISTANT,
    AssistantList: AssistantList(data=[_ASSISTANT], first_id=_ASSISTANT.id, last_id=_ASSISTANT.id),
    AssistantSwitch: AssistantSwitch(session=_SESSION, created=False, messages=[_ASKED, _REPLY]),
    UsageReport: UsageReport(
        start=_TIME.date(),
        end=_TIME.date(),
        group_by="model",
        total=_TOTALS,
        data=[UsageGroup(model="parley-demo", **_TOTALS.model_dump())],
    ),
    Model: _MODEL,
    ModelList: ModelList(data=[_MODEL]),
    ChatCompletion: completion_of(_TURN, "parley-demo"),
}


def of(model: type[BaseModel]) -> Any:
    """An example of the answer, or None."""
    example = _EXAMPLES.get(model)
    return None if example is None else json.loads(example.model_dump_json())


def stream(operation: str) -> str:
    """A whole answer as server-sent events."""
    if operation == "createChatCompletion":
        return _completion_stream()
    started = sse.started(
        _TURN, f"/v1/turns/{_TURN_ID}/stream?ticket=eyJhbGciOiJIUzI1NiJ9.e30.c2ln"
    )
    return b"".join((started, *sse.replay(_TURN, 0))).decode()


def error(status: int, code: str) -> Any:
    return error_body("A sentence that says what is wrong.", type=_TYPES[status], code=code)


def _completion_stream() -> str:
    chunks = CompletionChunks(_TURN, "parley-demo", with_usage=False)
    return (chunks.first() + chunks.of(b"".join(sse.replay(_TURN, 0)))).decode()


_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "invalid_request_error",
    409: "conflict_error",
    413: "invalid_request_error",
    422: "idempotency_error",
    429: "rate_limit_error",
    500: "server_error",
    502: "server_error",
    503: "server_error",
    504: "server_error",
}
