"""The routes of session, as docs/internal-api.md has them; each verifies who calls."""

import base64
from collections.abc import Callable, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parley_contracts.session_api.keys import DataKeysRequest, SearchKeysRequest
from parley_contracts.session_api.turns import (
    ClaimTurnRequest,
    CompleteTurnRequest,
    FailTurnRequest,
    HeartbeatRequest,
    RecordCompletionRequest,
)
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey
from parley_core.http.service_auth import ServiceAuthenticator, request_id
from parley_session.api.assistant_routes import assistant_routes
from parley_session.api.message_routes import message_routes
from parley_session.api.request_parsing import decode_body, usage_and_price
from parley_session.api.responses import json_answer, shape_answer
from parley_session.api.session_routes import session_routes
from parley_session.application.command_executor import Caller
from parley_session.domain.completion import RecordCompletion
from parley_session.domain.context_window import HeldWindow
from parley_session.domain.session.commands import CompleteReply, FailReply
from parley_session.parts import Parts


def routes(guard_of: Callable[..., ServiceAuthenticator], parts: Parts) -> Sequence[Route]:
    """`guard_of` makes the guard of a route from the services that may call it."""
    gateway, inference = guard_of("gateway"), guard_of("inference")
    turn_readers = guard_of("gateway", "inference")
    history, key_readers = guard_of("history"), guard_of("history", "cli")

    async def read_turn(request: Request) -> Response:
        person, turn_id = turn_readers(request), request.path_params["turn_id"]
        return shape_answer(await parts.sessions.turn(turn_id, person))

    async def cancel_turn(request: Request) -> Response:
        asker = Caller(gateway(request), request_id(request))
        return shape_answer(await parts.sessions.cancel(request.path_params["turn_id"], asker))

    async def claim_turn(request: Request) -> Response:
        person, turn_id = inference(request), request.path_params["turn_id"]
        body = await decode_body(request, ClaimTurnRequest)
        since = HeldWindow(*msgspec.structs.astuple(body.since)) if body.since else None
        claim = await parts.running.claim(
            turn_id, body.runner, person, since=since, budgets=body.budgets
        )
        answer = {
            "claimed": claim.run is not None,
            "turn": msgspec.Raw(claim.turn.to_json()),
            "run": claim.run,
            "key": _encoded(claim.key),
        }
        return json_answer(answer)

    async def complete_turn(request: Request) -> Response:
        asker = Caller(inference(request), request_id(request), system=True)
        body = await decode_body(request, CompleteTurnRequest)
        command = CompleteReply(
            request.path_params["turn_id"],
            body.content,
            body.finish_reason,
            body.first_token_ms,
            body.total_ms,
            model=body.model,
            **usage_and_price(body),
        )
        return shape_answer(await parts.running.end(command, body.runner, asker))

    async def fail_turn(request: Request) -> Response:
        asker = Caller(inference(request), request_id(request), system=True)
        body = await decode_body(request, FailTurnRequest)
        command = FailReply(
            request.path_params["turn_id"],
            body.code,
            body.details,
            body.partial_content,
            model=body.model,
            **usage_and_price(body),
        )
        return shape_answer(await parts.running.end(command, body.runner, asker))

    async def record_completion(request: Request) -> Response:
        asker = Caller(inference(request), request_id(request))
        body = await decode_body(request, RecordCompletionRequest)
        command = RecordCompletion(body.id, body.model, body.status, **usage_and_price(body))
        await parts.completions.record(command, asker)
        return json_answer({})

    async def heartbeat(request: Request) -> Response:
        inference(request)
        body = await decode_body(request, HeartbeatRequest)
        stops = await parts.turns.heartbeat(request.path_params["runner_id"], body.turns)
        stop = [{"turn_id": turn_id, "reason": reason} for turn_id, reason in stops.items()]
        erased = await parts.rows.recently_erased()
        return json_answer({"stop": stop, "erased": erased})

    async def data_keys(request: Request) -> Response:
        key_readers(request)
        body = await decode_body(request, DataKeysRequest)
        keys = await parts.store.data_keys(body.session_ids)
        encoded = {str(session_id): _encoded(key) for session_id, key in keys.items()}
        return json_answer({"keys": encoded})

    async def search_keys(request: Request) -> Response:
        history(request)
        body = await decode_body(request, SearchKeysRequest)
        people = [Principal(person.tenant, person.user) for person in body.people]
        keys = await parts.search_keys.of(people)
        encoded = [
            {
                "tenant": person.tenant,
                "user": person.user,
                "key": _encoded(key),
            }
            for person, key in zip(people, keys, strict=True)
        ]
        return json_answer({"keys": encoded})

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        if missing := await parts.ready():
            return JSONResponse({"status": "unavailable", "missing": [*missing]}, 503)
        return JSONResponse({"status": "ok"})

    return [
        # First what every turn needs: each request is held against one route after the other.
        *message_routes(guard_of, parts),
        Route("/turns/{turn_id:uuid}", read_turn),
        Route("/turns/{turn_id:uuid}/cancel", cancel_turn, methods=["POST"]),
        Route("/turns/{turn_id:uuid}/claim", claim_turn, methods=["POST"]),
        Route("/turns/{turn_id:uuid}/complete", complete_turn, methods=["POST"]),
        Route("/turns/{turn_id:uuid}/fail", fail_turn, methods=["POST"]),
        Route("/completions", record_completion, methods=["POST"]),
        Route("/runners/{runner_id:uuid}/heartbeat", heartbeat, methods=["POST"]),
        Route("/keys", data_keys, methods=["POST"]),
        Route("/search-keys", search_keys, methods=["POST"]),
        *assistant_routes(gateway, parts),
        *session_routes(guard_of, parts),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
    ]


def _encoded(key: DataKey | None) -> str | None:
    return base64.b64encode(key.secret).decode() if key else None
