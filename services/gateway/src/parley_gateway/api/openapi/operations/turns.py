"""Turns: opened by a message or anew, streamed, read, stopped."""

from parley_contracts.api_models import Turn
from parley_gateway.api.openapi.operations.operation import (
    EVERY,
    KEYED,
    OF_A_SESSION,
    OF_A_TURN,
    SENT,
    Errors,
    Operation,
)
from parley_gateway.schemas.queries import ResumeQuery
from parley_gateway.schemas.requests import Regenerate, SubmitMessage

EVENT_STREAM = "text/event-stream"
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
that has more than the last event's `sequence_number` cuts to it. After `end` the answer is 204.

`new EventSource(stream_url)`, with the `stream_url` of `turn.started`, needs nothing more: it comes
back by itself where it was. The address streams that turn alone, for 15 minutes; keep it as a
password. Whoever has a token needs no ticket."""
_REPLIES: Errors = {
    409: ("turn_open", "session_full"),
    503: (*EVERY[503], "gateway_busy"),
    504: ("reply_pending",),
}

TURNS = (
    Operation(
        "post",
        "/v1/sessions/{session_id}/messages",
        "submitMessage",
        "Submit a message and get the reply to it",
        {200: Turn, 202: Turn},
        (
            EVERY,
            SENT,
            KEYED,
            OF_A_SESSION,
            _REPLIES,
            {413: ("message_too_large", "body_too_large")},
        ),
        body=SubmitMessage,
        description=STREAM,
        streams=(EVENT_STREAM,),
    ),
    Operation(
        "post",
        "/v1/sessions/{session_id}/regenerate",
        "regenerateReply",
        "Get another reply to a message",
        {200: Turn, 202: Turn},
        (EVERY, SENT, KEYED, OF_A_SESSION, _REPLIES),
        body=Regenerate,
        description="A sibling of the replies that the message has; it is then the current one. "
        "Answered as a message is.",
        streams=(EVENT_STREAM,),
    ),
    Operation(
        "get",
        "/v1/turns/{turn_id}",
        "readTurn",
        "Read a turn",
        {200: Turn},
        (EVERY, OF_A_TURN),
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
            OF_A_TURN,
            {401: (*EVERY[401], "invalid_ticket"), 503: (*EVERY[503], "gateway_busy")},
        ),
        query=ResumeQuery,
        description=RESUMED,
        streams=(EVENT_STREAM,),
        resumes=True,
    ),
    Operation(
        "post",
        "/v1/turns/{turn_id}/cancel",
        "cancelTurn",
        "Stop the reply",
        {200: Turn},
        (EVERY, SENT, KEYED, OF_A_TURN),
        description="Kept before it is answered; the reply then ends as cancelled within a second, "
        "with what there is of it. A turn that has ended stays as it is.",
    ),
)
