"""The routes of session, as docs/internal-api.md has them; each verifies who calls."""

import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parley_core.guard import Guard, request_id
from parley_core.shapes import Page, Shape
from parley_session.assistants import Assistants
from parley_session.bodies import (
    ClaimBody,
    CompleteBody,
    FailBody,
    HeartbeatBody,
    KeysBody,
    StartBody,
    SubmitBody,
    SwitchBody,
    body_of,
    keyed_body_of,
)
from parley_session.domain.commands import CompleteReply, FailReply
from parley_session.event_store import EventStore
from parley_session.executing import Asker
from parley_session.running import Running
from parley_session.sessions import Sessions
from parley_session.turn_store import TurnStore


class Parts:
    """What the routes use, put together when the process starts."""

    sessions: Sessions
    running: Running
    store: EventStore
    turns: TurnStore
    ready: Callable[[], Awaitable[Sequence[str]]]
    refresh_metrics: Callable[[], Awaitable[None]]


def routes(guard_of: Callable[..., Guard], assistants: Assistants, parts: Parts) -> Sequence[Route]:
    """`guard_of` makes the guard of a route from the services that may call it."""
    gateway, inference = guard_of("gateway"), guard_of("inference")
    session_readers = guard_of("gateway", "history")
    turn_readers = guard_of("gateway", "inference")
    key_readers = guard_of("history", "cli")

    async def list_assistants(request: Request) -> Response:
        gateway(request)
        shapes = [assistant.shape for assistant in assistants]
        page = Page(data=shapes, first_id=shapes[0].id, last_id=shapes[-1].id)
        return _answer(page)

    async def start_session(request: Request) -> Response:
        asker = Asker(gateway(request), request_id(request))
        body, keyed = await keyed_body_of(request, asker, StartBody)
        session, new = await parts.sessions.start(
            asker,
            keyed,
            session_id=body.id,
            assistant_id=body.assistant_id,
            title=body.title,
            metadata=body.metadata,
        )
        return _answer(session, 201 if new else 200)

    async def read_session(request: Request) -> Response:
        person, session_id = session_readers(request), request.path_params["session_id"]
        return _answer(await parts.sessions.read(session_id, person))

    async def switch_assistant(request: Request) -> Response:
        asker = Asker(gateway(request), request_id(request))
        body, keyed = await keyed_body_of(request, asker, SwitchBody)
        switched = await parts.sessions.switch(asker, keyed, body.assistant_id)
        answer = {
            "object": "assistant_switch",
            "session": msgspec.Raw(switched.session.to_json()),
            "created": switched.created,
            "messages": [msgspec.Raw(message.to_json()) for message in switched.messages],
        }
        return _json(answer)

    async def submit_message(request: Request) -> Response:
        asker = Asker(gateway(request), request_id(request))
        body, keyed = await keyed_body_of(request, asker, SubmitBody)
        session_id = request.path_params["session_id"]
        turn, new = await parts.sessions.submit(session_id, body.content, asker, keyed)
        return _answer(turn, 201 if new else 200)

    async def read_turn(request: Request) -> Response:
        person, turn_id = turn_readers(request), request.path_params["turn_id"]
        return _answer(await parts.sessions.turn(turn_id, person))

    async def cancel_turn(request: Request) -> Response:
        asker = Asker(gateway(request), request_id(request))
        return _answer(await parts.sessions.cancel(request.path_params["turn_id"], asker))

    async def claim_turn(request: Request) -> Response:
        person, turn_id = inference(request), request.path_params["turn_id"]
        body = await body_of(request, ClaimBody)
        claim = await parts.running.claim(turn_id, body.runner, body.since, person)
        answer: dict[str, Any] = {
            "claimed": claim.run is not None,
            "turn": msgspec.Raw(claim.turn.to_json()),
            "run": None,
        }
        if run := claim.run:
            messages = [{"id": m.id, "role": m.role, "content": m.content} for m in run.messages]
            context = {"base": run.base, "version": run.version, "messages": messages}
            answer["run"] = {
                "model": run.model,
                "instructions": run.instructions,
                "context": context,
            }
        return _json(answer)

    async def complete_turn(request: Request) -> Response:
        asker = Asker(inference(request), request_id(request), system=True)
        body = await body_of(request, CompleteBody)
        command = CompleteReply(
            request.path_params["turn_id"],
            body.content,
            body.finish_reason,
            body.first_token_ms,
            body.total_ms,
            **body.charged(),
        )
        return _answer(await parts.running.end(command, body.runner, asker))

    async def fail_turn(request: Request) -> Response:
        asker = Asker(inference(request), request_id(request), system=True)
        body = await body_of(request, FailBody)
        command = FailReply(
            request.path_params["turn_id"],
            body.code,
            body.details,
            body.partial_content,
            **body.charged(),
        )
        return _answer(await parts.running.end(command, body.runner, asker))

    async def heartbeat(request: Request) -> Response:
        inference(request)
        body = await body_of(request, HeartbeatBody)
        stops = await parts.turns.heartbeat(request.path_params["runner_id"], body.turns)
        stop = [{"turn_id": turn_id, "reason": reason} for turn_id, reason in stops.items()]
        return _json({"stop": stop})

    async def data_keys(request: Request) -> Response:
        key_readers(request)
        body = await body_of(request, KeysBody)
        keys = await parts.store.data_keys(body.session_ids)
        encoded = {
            str(session_id): base64.b64encode(key.secret).decode() if key else None
            for session_id, key in keys.items()
        }
        return _json({"keys": encoded})

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        if missing := await parts.ready():
            return JSONResponse({"status": "unavailable", "missing": [*missing]}, 503)
        return JSONResponse({"status": "ok"})

    return [
        Route("/assistants", list_assistants),
        Route("/sessions", start_session, methods=["POST"]),
        Route("/sessions/{session_id:uuid}", read_session),
        Route("/sessions/{session_id:uuid}/messages", submit_message, methods=["POST"]),
        Route("/switch-assistant", switch_assistant, methods=["POST"]),
        Route("/turns/{turn_id:uuid}", read_turn),
        Route("/turns/{turn_id:uuid}/cancel", cancel_turn, methods=["POST"]),
        Route("/turns/{turn_id:uuid}/claim", claim_turn, methods=["POST"]),
        Route("/turns/{turn_id:uuid}/complete", complete_turn, methods=["POST"]),
        Route("/turns/{turn_id:uuid}/fail", fail_turn, methods=["POST"]),
        Route("/runners/{runner_id:uuid}/heartbeat", heartbeat, methods=["POST"]),
        Route("/keys", data_keys, methods=["POST"]),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
    ]


def _answer(shape: Shape, status: int = 200) -> Response:
    return Response(shape.to_json(), status, media_type="application/json")


def _json(answer: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")
