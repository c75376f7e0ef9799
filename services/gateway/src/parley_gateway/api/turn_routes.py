"""The routes of turns: opened by a message or anew, streamed, read, stopped."""

from starlette.requests import Request
from starlette.responses import Response

from parley_gateway.http.forwarding import Forwarder, Routes, passthrough_response
from parley_gateway.http.request_parsing import path_id
from parley_gateway.http.stream_limiter import StreamLimiter
from parley_gateway.parts import Parts
from parley_gateway.schemas.fields import RequestShape
from parley_gateway.schemas.requests import Regenerate, SubmitMessage
from parley_gateway.turns.limits import TurnLimits
from parley_gateway.turns.open_turn import TurnOpener
from parley_gateway.turns.resume_stream import ResumeStreamEndpoint
from parley_gateway.turns.submit_message import SubmitMessageEndpoint


def turn_routes(
    parts: Parts, passing: Forwarder, streams: StreamLimiter, limits: TurnLimits
) -> Routes:
    async def read(request: Request) -> Response:
        asker = await parts.authenticate(request)
        path = f"/turns/{path_id(request, 'turn_id')}"
        answer = await passing.ask(parts.peers.session, "GET", path, asker)
        # Whoever learns here that their reply is done reads it next.
        parts.writes.record_from_response(asker.principal, answer.body)
        return passthrough_response(answer)

    async def cancel(request: Request) -> Response:
        asker = await parts.authenticate(request)
        path = f"/turns/{path_id(request, 'turn_id')}/cancel"
        return await passing.command_of(asker, request, path, RequestShape)

    opening = TurnOpener(parts, passing, limits.relay)
    submitting = SubmitMessageEndpoint(parts, opening, streams, limits, "messages", SubmitMessage)
    regenerating = SubmitMessageEndpoint(parts, opening, streams, limits, "regenerate", Regenerate)
    return {
        "/v1/sessions/{session_id}/messages": {"POST": submitting},
        "/v1/sessions/{session_id}/regenerate": {"POST": regenerating},
        "/v1/turns/{turn_id}": {"GET": read},
        "/v1/turns/{turn_id}/stream": {"GET": ResumeStreamEndpoint(parts, streams, limits)},
        "/v1/turns/{turn_id}/cancel": {"POST": cancel},
    }
