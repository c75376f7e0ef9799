"""Example responses of the OpenAPI document, built from the response models."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from parley_contracts import turn_sse as sse
from parley_contracts.api_models import (
    ApiKey,
    ApiKeyDeleted,
    Assistant,
    AuditRecord,
    AuditRecordObject,
    CreatedApiKey,
    Message,
    Revocation,
    SessionShape,
    Turn,
    UsageShape,
)
from parley_contracts.session_api.limits import MAX_TOKEN_LIFETIME_SECONDS
from parley_gateway.chat_completions.chunks import CompletionChunks
from parley_gateway.chat_completions.responses import ChatCompletionChunk, to_completion
from parley_gateway.schemas.responses import (
    ApiKeyList,
    AssistantList,
    AssistantSwitch,
    AuditPage,
    Cost,
    ErrorResponse,
    HistoryImport,
    LimitList,
    LimitStanding,
    MessageList,
    Model,
    ModelList,
    RevocationPage,
    SearchResult,
    SearchResults,
    SessionDeleted,
    SessionList,
    SessionsDeleted,
    UsageGroup,
    UsageReport,
    UsageTotals,
)
from parley_gateway.schemas.stream_events import ReplyDelta, ReplyEnded, TurnStarted

EVENT_STREAM = "text/event-stream"

_SESSION_ID = UUID("0199c1f0-7a10-7c52-9d3e-6f1a2b3c4d5e")
_TURN_ID = UUID("0199c1f0-7b22-7e01-8a4b-0c1d2e3f4a5b")
_REPLY_ID = UUID("0199c1f0-7b22-7e01-8a4b-0c1d2e3f4a5c")
_TIME = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)

_MESSAGE = Message(
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
    parent_message_id=_MESSAGE.id,
    role="assistant",
    content="Hello, Ada!",
    status="completed",
    version=4,
    created_at=_TIME,
    model="parley-demo",
    finish_reason="stop",
    usage=UsageShape(prompt_tokens=31, completion_tokens=4, total_tokens=35),
)
SESSION = SessionShape(
    id=_SESSION_ID,
    assistant_id="helper",
    title="Holidays",
    metadata={"topic": "travel"},
    version=4,
    created_at=_TIME,
    updated_at=_TIME,
)
TURN = Turn(
    id=_TURN_ID,
    session_id=_SESSION_ID,
    status="completed",
    message=_MESSAGE,
    reply_id=_REPLY_ID,
    reply=_REPLY,
    version=4,
)
ASSISTANT = Assistant(
    id="helper",
    version=1,
    name="Helper",
    description="Helps with anything.",
    model=None,
    default=True,
    undelete_seconds=30 * 86_400,
    temporary_seconds=86_400,
)
MODEL = Model(
    id="parley-demo", created=int(_TIME.timestamp()), owned_by="parley", context_size=128_000
)
_TOTALS = UsageTotals(
    replies=1,
    prompt_tokens=31,
    completion_tokens=4,
    total_tokens=35,
    estimated_tokens=0,
    cost=[Cost(currency="USD", micros=13)],
)
MESSAGE_LIST = MessageList(
    data=[_REPLY, _MESSAGE], first_id=_REPLY.id, last_id=_MESSAGE.id, version=4
)
SESSION_LIST = SessionList(data=[SESSION], first_id=_SESSION_ID, last_id=_SESSION_ID)
SESSION_DELETED = SessionDeleted(id=_SESSION_ID, erased=True, erase_at=None, version=5)
SESSIONS_DELETED = SessionsDeleted(erased=3, held=0, has_more=False)
HISTORY_IMPORT = HistoryImport(
    session_id=_SESSION_ID, imported=2, skipped=0, failed=0, errors=[], version=6
)
SEARCH_RESULTS = SearchResults(
    data=[SearchResult(session_id=_SESSION_ID, session_title="Holidays", message=_REPLY)],
    first_id=_REPLY_ID,
    last_id=_REPLY_ID,
)
ASSISTANT_LIST = AssistantList(data=[ASSISTANT], first_id=ASSISTANT.id, last_id=ASSISTANT.id)
ASSISTANT_SWITCH = AssistantSwitch(session=SESSION, created=False, messages=[_MESSAGE, _REPLY])
USAGE_REPORT = UsageReport(
    start=_TIME.date(),
    end=_TIME.date(),
    group_by="model",
    total=_TOTALS,
    data=[UsageGroup(model="parley-demo", **_TOTALS.model_dump())],
)
API_KEY = ApiKey(
    id=_SESSION_ID,
    name="nightly report",
    scopes=[],
    models=["parley-demo"],
    created_at=_TIME,
    expires_at=None,
    limits={"cost_per_month": 5_000_000},
    last_used_on=_TIME.date(),
)
CREATED_API_KEY = CreatedApiKey(
    **{**dict(API_KEY), "last_used_on": None}, key=f"pk_{_SESSION_ID.hex}_{'s' * 43}"
)
API_KEY_LIST = ApiKeyList(data=[API_KEY], first_id=API_KEY.id, last_id=API_KEY.id)
API_KEY_DELETED = ApiKeyDeleted(id=API_KEY.id)
LIMIT_LIST = LimitList(
    data=[
        LimitStanding(
            name="turns_per_minute",
            per="person",
            limit=60,
            used=12,
            reserved=0,
            remaining=48,
            currency=None,
            resets_at=_TIME,
            api_key=None,
            model=None,
        ),
        LimitStanding(
            name="cost_per_month",
            per="tenant",
            limit=500_000_000,
            used=123_456_789,
            reserved=41_200,
            remaining=376_502_011,
            currency="USD",
            resets_at=_TIME,
            api_key=None,
            model=None,
        ),
    ]
)
REVOCATION = Revocation(
    id=_SESSION_ID,
    kind="user",
    target="staff:ada",
    revoked_by="staff:grace",
    revoked_at=_TIME,
    expires_at=_TIME + timedelta(seconds=MAX_TOKEN_LIFETIME_SECONDS),
)
REVOCATION_PAGE = RevocationPage(data=[REVOCATION], first_id=REVOCATION.id, last_id=REVOCATION.id)
AUDIT_PAGE = AuditPage(
    data=[
        AuditRecord(
            id=_SESSION_ID,
            sequence=4_211,
            created_at=_TIME,
            action="session.erased",
            outcome="done",
            user="staff:ada",
            objects=[AuditRecordObject(kind="session", id=str(_SESSION_ID))],
            request_id="req-1",
            client_address="192.0.2.7",
            api_key_id=None,
            token_id="t-1",  # noqa: S106 - the id of a token
            hash="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        )
    ],
    first_id=_SESSION_ID,
    last_id=_SESSION_ID,
)
MODEL_LIST = ModelList(data=[MODEL])
CHAT_COMPLETION = to_completion(TURN, "parley-demo")
TURN_EVENTS = (TurnStarted, ReplyDelta, ReplyEnded)
COMPLETION_EVENTS = (ChatCompletionChunk, ErrorResponse)
REFERENCED = (*TURN_EVENTS, ChatCompletionChunk, ErrorResponse)
"""Models that the document refers to, and no route declares: events of streams, and the error."""


def json_example(model: BaseModel) -> dict[str, Any]:
    """A JSON response."""
    return {"content": _json(model)}


def turn_stream_example() -> dict[str, Any]:
    """A turn as server-sent events."""
    ticket = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"
    started = sse.started(TURN, f"/v1/turns/{_TURN_ID}/stream?ticket={ticket}")
    return {"content": _event_stream(TURN_EVENTS, started, *sse.replay(TURN, 0))}


def turn_or_stream_example() -> dict[str, Any]:
    """A turn, as JSON or as server-sent events."""
    return {"content": _json(TURN) | turn_stream_example()["content"]}


def completion_example() -> dict[str, Any]:
    """A chat completion, as JSON or as server-sent events."""
    chunks = CompletionChunks(TURN, "parley-demo", with_usage=False)
    events = (chunks.first(), chunks.convert(b"".join(sse.replay(TURN, 0))))
    return {"content": _json(CHAT_COMPLETION) | _event_stream(COMPLETION_EVENTS, *events)}


def _json(model: BaseModel) -> dict[str, Any]:
    return {"application/json": {"example": json.loads(model.model_dump_json())}}


def _event_stream(models: Sequence[type[BaseModel]], *events: bytes) -> dict[str, Any]:
    """In the form of FastAPI's own streams: `itemSchema` (OpenAPI 3.2) describes one event."""
    references = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    data: dict[str, Any] = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"oneOf": references},
    }
    if models is COMPLETION_EVENTS:
        data = {"anyOf": [{"type": "string", "const": "[DONE]"}, data]}
    fields = {"data": data, "id": {"type": "string"}, "retry": {"type": "integer"}}
    schema = {"type": "object", "properties": fields, "required": ["data"]}
    return {EVENT_STREAM: {"itemSchema": schema, "example": b"".join(events).decode()}}
