"""What each public route takes and answers, as the OpenAPI document tells it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel

from parley_core.shapes import SessionShape, Turn
from parley_gateway.answers import (
    AssistantList,
    AssistantSwitch,
    Health,
    MessageList,
    ModelList,
    NotReady,
)
from parley_gateway.requests import (
    HistoryQuery,
    ResumeQuery,
    StartSession,
    SubmitMessage,
    SwitchAssistant,
)

# Why an operation fails, by status: the codes that its error may carry.
Errors = Mapping[int, Sequence[str]]

EVERY: Errors = {
    401: ("unauthenticated", "invalid_token"),
    500: ("internal_error",),
    503: (
        "session_unavailable",
        "session_busy",
        "event_store_unavailable",
        "keys_unavailable",
    ),
}
SENT: Errors = {
    400: ("invalid_request",),
    408: ("request_timeout",),
    413: ("body_too_large",),
    422: ("idempotency_key_reused",),
}
OF_A_SESSION: Errors = {400: ("invalid_request",), 404: ("session_not_found",)}
STREAM = """\
With `stream: true` the answer is `text/event-stream`: `turn.started` once the message is
committed, then `reply.delta` events, then one of `reply.completed`, `reply.failed`,
`reply.cancelled`, sent once the reply is committed (schemas TurnStarted, ReplyDelta, ReplyEnded).
An event's `id` is a place in the reply: how many code points were delivered up to and including
it; the last one's is `end`. Comments are heartbeats.

An answer that stops without `id: end` was broken off. The reply goes on, as it does when a client
leaves: `GET /v1/turns/{turn_id}/stream` goes on after the last event that the client has, and the
same request with the same `Idempotency-Key` streams it again from its start.

Otherwise the answer is the turn as JSON, when the reply is done; with `background: true` at once,
with status 202 while the turn is running: `GET /v1/turns/{turn_id}` tells how it goes on."""


RESUMED = """\
The text after the event whose `id` the client had last (`Last-Event-ID`, as an EventSource sends
it, or `starting_after`), to the code point, and how the reply ended; without either, from
`turn.started` on. Events may be cut otherwise than before: an id is a place in the reply. A client
that has more than the last event's `sequence_number` cuts to it. After `end` the answer is 204."""


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    name: str
    summary: str
    answers: Mapping[int, type[BaseModel] | None]
    errors: Sequence[Errors] = ()
    description: str | None = None
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    public: bool = False
    streams: bool = False
    resumes: bool = False
    tag: str = field(default="chat")


OPERATIONS = (
    Operation(
        "post",
        "/v1/sessions",
        "startSession",
        "Start a session",
        {201: SessionShape, 200: SessionShape},
        (EVERY, SENT, {404: ("assistant_not_found",), 409: ("session_id_unavailable",)}),
        body=StartSession,
        description="200 when the same request with the same `Idempotency-Key` was done before.",
    ),
    Operation(
        "get",
        "/v1/sessions/{session_id}",
        "readSession",
        "Read a session",
        {200: SessionShape},
        (EVERY, OF_A_SESSION),
    ),
    Operation(
        "post",
        "/v1/sessions/{session_id}/messages",
        "submitMessage",
        "Submit a message and get the reply to it",
        {200: Turn, 202: Turn},
        (
            EVERY,
            SENT,
            OF_A_SESSION,
            {
                409: ("turn_open", "session_full"),
                413: ("message_too_large", "body_too_large"),
                503: (*EVERY[503], "gateway_busy"),
                504: ("reply_pending",),
            },
        ),
        body=SubmitMessage,
        description=STREAM,
        streams=True,
    ),
    Operation(
        "get",
        "/v1/turns/{turn_id}",
        "readTurn",
        "Read a turn",
        {200: Turn},
        (EVERY, {400: ("invalid_request",), 404: ("turn_not_found",)}),
        description="`reply` is null while the turn is running.",
    ),
    Operation(
        "get",
        "/v1/turns/{turn_id}/stream",
        "streamTurn",
        "Stream a turn, or go on with its stream",
        {200: None, 204: None},
        (
            EVERY,
            {
                400: ("invalid_request",),
                404: ("turn_not_found",),
                503: (*EVERY[503], "gateway_busy"),
            },
        ),
        query=ResumeQuery,
        description=RESUMED,
        streams=True,
        resumes=True,
    ),
    Operation(
        "post",
        "/v1/turns/{turn_id}/cancel",
        "cancelTurn",
        "Stop the reply",
        {200: Turn},
        (EVERY, SENT, {404: ("turn_not_found",)}),
        description="Kept before it is answered; the reply then ends as cancelled within a second, "
        "with what there is of it. A turn that has ended stays as it is.",
    ),
    Operation(
        "get",
        "/v1/history/{session_id}",
        "readHistory",
        "Read the messages of a session",
        {200: MessageList},
        (EVERY, OF_A_SESSION, {503: (*EVERY[503], "history_unavailable", "projection_behind")}),
        query=HistoryQuery,
        description="History follows what was committed within moments; `version` says how far "
        "it is, and `min_version` waits for it.",
    ),
    Operation(
        "get",
        "/v1/assistants",
        "listAssistants",
        "List the assistants",
        {200: AssistantList},
        (EVERY,),
        tag="catalogue",
    ),
    Operation(
        "post",
        "/v1/switch-assistant",
        "switchAssistant",
        "Go on with another assistant",
        {200: AssistantSwitch},
        (EVERY, SENT, {404: ("assistant_not_found",), 409: ("session_id_unavailable",)}),
        body=SwitchAssistant,
        description="The caller's latest session with that assistant, or a new one.",
    ),
    Operation(
        "get",
        "/v1/models",
        "listModels",
        "List the models",
        {200: ModelList},
        (EVERY, {503: ("inference_unavailable", "keys_unavailable")}),
        tag="catalogue",
    ),
    Operation(
        "get",
        "/healthz",
        "isAlive",
        "Whether this process lives",
        {200: Health},
        public=True,
        tag="operation",
    ),
    Operation(
        "get",
        "/readyz",
        "isReady",
        "Whether it can serve, and what is missing otherwise",
        {200: Health, 503: NotReady},
        public=True,
        tag="operation",
    ),
)
