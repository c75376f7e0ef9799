"""Routes of turns: submit a message, regenerate a reply, stream, read and cancel a turn."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from parley_contracts.api_models import Turn
from parley_core.auth.caller import Caller
from parley_core.http.service_client import ServiceResponse
from parley_gateway.api import examples
from parley_gateway.api.responses import ALWAYS, COMMAND, SESSION, TURN, Codes, responses
from parley_gateway.auth.stream_tickets import StreamTickets
from parley_gateway.http.request_parsing import (
    STRICT_QUERY,
    IdempotencyHeaders,
    JSONBody,
    SessionId,
    TurnId,
)
from parley_gateway.route_dependencies import (
    CurrentCaller,
    ForwarderDependency,
    ResumerDependency,
    SubmitterDependency,
    TicketCaller,
    TicketsDependency,
    UpstreamsDependency,
)
from parley_gateway.schemas.requests import EmptyBody, Regenerate, SubmitMessage
from parley_gateway.turns.resume_stream import ResumeAfter
from parley_gateway.turns.stream_url import with_stream_url

_TURN = examples.json_example(examples.TURN)
_REPLY: dict[int, dict[str, Any]] = {
    200: examples.turn_or_stream_example(),
    202: _TURN | {"model": Turn, "description": "The turn is running in the background."},
}
_BUSY = (*ALWAYS[503], "gateway_busy")
_NO_REPLY: Codes = {
    # A model without a price, for a person with a budget.
    404: ("session_not_found", "model_not_found"),
    409: ("turn_open", "session_full"),
    429: ("too_many_turns", "too_many_streams", "too_much_content", "quota_exceeded"),
    503: (*_BUSY, "inference_busy", "inference_unavailable"),
    504: ("reply_pending",),
}

router = APIRouter(prefix="/v1", tags=["chat"])


@router.post(
    "/sessions/{session_id}/messages",
    summary="Submit a message and get the reply to it",
    response_model=Turn,
    responses=responses(
        _REPLY, COMMAND, SESSION, _NO_REPLY, {413: ("message_too_large", "body_too_large")}
    ),
)
async def submit_message(
    caller: CurrentCaller,
    submitter: SubmitterDependency,
    headers: IdempotencyHeaders,
    session_id: SessionId,
    body: Annotated[SubmitMessage, Depends(JSONBody(SubmitMessage))],
) -> Response:
    """With `stream: true` the response is `text/event-stream`: `turn.started` once the message
    is committed, then `reply.delta` events, then one of `reply.completed`, `reply.failed`,
    `reply.cancelled`, sent once the reply is committed (schemas TurnStarted, ReplyDelta,
    ReplyEnded). An event's `id` is a position in the reply: the number of code points delivered
    up to and including it; the last event's id is `end`. Comments are heartbeats.

    A stream that stops without `id: end` was interrupted. The reply continues, as it does when
    a client disconnects: `GET /v1/turns/{turn_id}/stream` resumes after the last received
    event, and the same request with the same `Idempotency-Key` streams it from the start.

    Otherwise the response is the turn as JSON when the reply is done, or at once with
    `background: true`, with status 202 while the turn is running: poll
    `GET /v1/turns/{turn_id}`, or stream it from its `stream_url`.
    """
    return submitter.submit(session_id, body, caller, headers)


@router.post(
    "/sessions/{session_id}/regenerate",
    summary="Get another reply to a message",
    response_model=Turn,
    responses=responses(_REPLY, COMMAND, SESSION, _NO_REPLY),
)
async def regenerate_reply(
    caller: CurrentCaller,
    submitter: SubmitterDependency,
    headers: IdempotencyHeaders,
    session_id: SessionId,
    body: Annotated[Regenerate, Depends(JSONBody(Regenerate))],
) -> Response:
    """The new reply is a sibling of the message's earlier replies and becomes the current one.
    The response is as of submitMessage.
    """
    return submitter.regenerate(session_id, body, caller, headers)


@router.get(
    "/turns/{turn_id}",
    summary="Read a turn",
    response_model=Turn,
    responses=responses({200: _TURN}, TURN),
)
async def read_turn(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    upstreams: UpstreamsDependency,
    tickets: TicketsDependency,
    turn_id: TurnId,
) -> Response:
    """While the turn is running, `reply` is null and `stream_url` streams it, as that of
    `turn.started` does.
    """
    path = f"/turns/{turn_id}"
    response = await forwarder.call(upstreams.session, "GET", path, caller)
    return _turn_response(response, turn_id, caller, tickets)


@router.get(
    "/turns/{turn_id}/stream",
    summary="Stream a turn, or resume its stream",
    # No media type of its own: errors are JSON.
    response_class=Response,
    responses=responses(
        {
            200: examples.turn_stream_example(),
            204: {"description": "The client already has the whole reply."},
        },
        TURN,
        {401: (*ALWAYS[401], "invalid_ticket"), 429: ("too_many_streams",), 503: _BUSY},
    ),
    dependencies=[STRICT_QUERY],
)
async def stream_turn(
    request: Request,
    caller: TicketCaller,
    resumer: ResumerDependency,
    turn_id: TurnId,
    after: ResumeAfter,
) -> Response:
    """The text after the event whose `id` the client received last (`Last-Event-ID`, as an
    EventSource sends it, or `starting_after`), exact to the code point, and how the reply
    ended; without either, from `turn.started`. Events may be split differently than before: an
    id is a position in the reply. A client that has more than the last event's
    `sequence_number` truncates to it. After `end` the response is 204.

    `new EventSource(stream_url)`, with the `stream_url` of `turn.started`, needs nothing else
    and reconnects by itself. The URL opens this turn only, for 15 minutes; treat it as a
    password. With a token no ticket is needed.
    """
    return resumer.resume(turn_id, caller, after, request.query_params.get("ticket"))


@router.post(
    "/turns/{turn_id}/cancel",
    summary="Cancel the reply",
    response_model=Turn,
    responses=responses({200: _TURN}, COMMAND, TURN),
)
async def cancel_turn(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    upstreams: UpstreamsDependency,
    tickets: TicketsDependency,
    headers: IdempotencyHeaders,
    turn_id: TurnId,
    body: Annotated[EmptyBody, Depends(JSONBody(EmptyBody))],
) -> Response:
    """Durable once answered: the reply ends as cancelled within a second, with its partial
    text. A turn that has ended is not changed.
    """
    path = f"/turns/{turn_id}/cancel"
    response = await forwarder.call(
        upstreams.session, "POST", path, caller, body=body.to_json(), headers=headers
    )
    return _turn_response(response, turn_id, caller, tickets)


def _turn_response(
    response: ServiceResponse, turn_id: UUID, caller: Caller, tickets: StreamTickets
) -> Response:
    url = partial(tickets.stream_url, turn_id, caller.principal)
    body = with_stream_url(response.body, url)
    return Response(body, response.status, media_type="application/json")
