"""Routes of turns: read, cancel, claim, complete, fail, heartbeat, and completions."""

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley_contracts.session_api.turns import (
    CancelledTurnsResponse,
    ClaimTurnRequest,
    ClaimTurnResponse,
    CompleteTurnRequest,
    FailTurnRequest,
    HeartbeatRequest,
    HeartbeatResponse,
    RecordCompletionRequest,
    TurnToStop,
)
from parley_core.http.service_auth import caller_of
from parley_session.api.request_parsing import decode_body, usage_and_price
from parley_session.api.responses import json_response, model_response
from parley_session.application.sessions.record_completion import CompletionRecorder
from parley_session.application.sessions.session_queries import SessionQueries
from parley_session.application.turns.cancel_notices import CancelNotices
from parley_session.application.turns.turn_lifecycle import TurnLifecycle
from parley_session.domain.context_window import CachedWindow
from parley_session.domain.decide_completion import RecordCompletion
from parley_session.domain.session.commands import CompleteReply, FailReply
from parley_session.storage.session_index import SessionIndex
from parley_session.storage.turn_store import TurnStore


def turn_routes(
    sessions: SessionQueries,
    lifecycle: TurnLifecycle,
    turns: TurnStore,
    index: SessionIndex,
    completions: CompletionRecorder,
    cancel_notices: CancelNotices,
) -> Sequence[Route]:
    async def read_turn(request: Request) -> Response:
        caller = caller_of(request)
        turn_id = request.path_params["turn_id"]
        return model_response(await sessions.read_turn(turn_id, caller.principal))

    async def cancel_turn(request: Request) -> Response:
        caller = caller_of(request)
        return model_response(await sessions.cancel(request.path_params["turn_id"], caller))

    async def claim_turn(request: Request) -> Response:
        caller = caller_of(request)
        body = await decode_body(request, ClaimTurnRequest)
        claim = await lifecycle.claim(
            request.path_params["turn_id"],
            body.runner,
            caller.principal,
            cached=CachedWindow(**msgspec.structs.asdict(body.since)) if body.since else None,
            budgets=body.budgets,
        )
        response = ClaimTurnResponse(
            claimed=claim.turn_input is not None,
            turn=msgspec.Raw(claim.turn.to_json()),
            run=claim.turn_input,
            key=claim.key.secret if claim.key else None,
        )
        return json_response(response)

    async def complete_turn(request: Request) -> Response:
        caller = caller_of(request)
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
        return model_response(await lifecycle.end(command, body.runner, caller))

    async def fail_turn(request: Request) -> Response:
        caller = caller_of(request)
        body = await decode_body(request, FailTurnRequest)
        command = FailReply(
            request.path_params["turn_id"],
            body.code,
            body.details,
            body.partial_content,
            model=body.model,
            **usage_and_price(body),
        )
        return model_response(await lifecycle.end(command, body.runner, caller))

    async def heartbeat(request: Request) -> Response:
        body = await decode_body(request, HeartbeatRequest)
        reasons = await turns.heartbeat(request.path_params["runner_id"], body.turns, body.capacity)
        stop = [TurnToStop(turn_id, reason) for turn_id, reason in reasons.items()]
        return json_response(HeartbeatResponse(stop, await index.recently_erased()))

    async def cancelled_turns(request: Request) -> Response:
        found = await cancel_notices.cancelled_turns(request.path_params["runner_id"])
        return json_response(CancelledTurnsResponse([*found]))

    async def record_completion(request: Request) -> Response:
        caller = caller_of(request)
        body = await decode_body(request, RecordCompletionRequest)
        command = RecordCompletion(body.id, body.model, body.status, **usage_and_price(body))
        await completions.record(command, caller)
        return json_response({})

    return [
        Route("/turns/{turn_id:uuid}", read_turn),
        Route("/turns/{turn_id:uuid}/cancel", cancel_turn, methods=["POST"]),
        Route("/turns/{turn_id:uuid}/claim", claim_turn, methods=["POST"]),
        Route("/turns/{turn_id:uuid}/complete", complete_turn, methods=["POST"]),
        Route("/turns/{turn_id:uuid}/fail", fail_turn, methods=["POST"]),
        Route("/runners/{runner_id:uuid}/heartbeat", heartbeat, methods=["POST"]),
        Route("/runners/{runner_id:uuid}/cancelled-turns", cancelled_turns),
        Route("/completions", record_completion, methods=["POST"]),
    ]
