"""Routes of sessions: start, read, update, fork, delete, restore, switch assistant."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley_contracts.session_api.sessions import (
    ForkSessionRequest,
    StartSessionRequest,
    SwitchAssistantRequest,
    UpdateSessionRequest,
)
from parley_core.http.errors import InvalidRequest
from parley_core.http.service_auth import caller_of
from parley_session.api.request_parsing import (
    decode_body,
    decode_idempotent_body,
    explicit_fields,
)
from parley_session.api.responses import json_response, model_response
from parley_session.application.sessions.delete_session import SessionDeletion
from parley_session.application.sessions.fork_session import SessionForker
from parley_session.application.sessions.session_queries import SessionQueries
from parley_session.application.sessions.start_session import SessionStarter
from parley_session.application.sessions.update_session import SessionUpdater

_MAX_ERASED_PER_CALL = 1_000
# Well below the 10 s for which callers wait; the next call continues.
_MAX_ERASE_SECONDS = 5


def session_routes(
    sessions: SessionQueries,
    starter: SessionStarter,
    updater: SessionUpdater,
    forker: SessionForker,
    deletion: SessionDeletion,
) -> Sequence[Route]:
    async def start_session(request: Request) -> Response:
        caller = caller_of(request)
        body, idempotent_request = await decode_idempotent_body(
            request, caller, StartSessionRequest
        )
        session, is_new = await starter.start(
            caller,
            idempotent_request,
            session_id=body.id,
            assistant_id=body.assistant_id,
            title=body.title,
            metadata=body.metadata,
            temporary=body.temporary,
        )
        return model_response(session, 201 if is_new else 200)

    async def read_session(request: Request) -> Response:
        caller = caller_of(request)
        session_id = request.path_params["session_id"]
        return model_response(await sessions.read(session_id, caller.principal))

    async def update_session(request: Request) -> Response:
        caller = caller_of(request)
        body = await decode_body(request, UpdateSessionRequest)
        changes = explicit_fields(body)
        if not changes:
            raise InvalidRequest("Give at least one field to change.")
        session_id = request.path_params["session_id"]
        return model_response(await updater.update(session_id, caller, **changes))

    async def delete_session(request: Request) -> Response:
        caller = caller_of(request)
        session_id = request.path_params["session_id"]
        return json_response(await deletion.delete(session_id, caller))

    async def delete_sessions(request: Request) -> Response:
        caller = caller_of(request)
        response = await deletion.erase_all_of(
            caller.principal,
            "requested",
            caller,
            max_sessions=_MAX_ERASED_PER_CALL,
            max_seconds=_MAX_ERASE_SECONDS,
        )
        return json_response(response)

    async def restore_session(request: Request) -> Response:
        caller = caller_of(request)
        session_id = request.path_params["session_id"]
        await deletion.restore(session_id, caller)
        return model_response(await sessions.read(session_id, caller.principal))

    async def fork_session(request: Request) -> Response:
        caller = caller_of(request)
        body, idempotent_request = await decode_idempotent_body(request, caller, ForkSessionRequest)
        session, is_new = await forker.fork(
            request.path_params["session_id"],
            caller,
            idempotent_request,
            message_id=body.message_id,
            session_id=body.id,
            title=body.title,
        )
        return model_response(session, 201 if is_new else 200)

    async def switch_assistant(request: Request) -> Response:
        caller = caller_of(request)
        body, idempotent_request = await decode_idempotent_body(
            request, caller, SwitchAssistantRequest
        )
        return json_response(await starter.switch(caller, idempotent_request, body.assistant_id))

    session = "/sessions/{session_id:uuid}"
    return [
        Route("/sessions", start_session, methods=["POST"]),
        Route("/sessions", delete_sessions, methods=["DELETE"]),
        Route(session, read_session),
        Route(session, update_session, methods=["PATCH"]),
        Route(session, delete_session, methods=["DELETE"]),
        Route(f"{session}/restore", restore_session, methods=["POST"]),
        Route(f"{session}/fork", fork_session, methods=["POST"]),
        Route("/switch-assistant", switch_assistant, methods=["POST"]),
    ]
