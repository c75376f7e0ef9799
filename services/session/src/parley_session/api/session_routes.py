"""The routes of whole sessions: start, read, change, fork, delete, restore."""

from collections.abc import Callable, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley_contracts.api_models import rfc3339
from parley_contracts.session_api.sessions import (
    ForkSessionRequest,
    StartSessionRequest,
    SwitchAssistantRequest,
    UpdateSessionRequest,
)
from parley_core.http.errors import InvalidRequest
from parley_core.http.service_auth import ServiceAuthenticator, request_id
from parley_session.api.request_parsing import decode_body, decode_idempotent_body, explicit_fields
from parley_session.api.responses import json_answer, shape_answer
from parley_session.application.command_executor import Caller
from parley_session.parts import Parts

_ERASED_AT_ONCE = 1_000
# Well within the 10 s for which whoever calls waits: what is left is erased by the next call.
_ERASING_SECONDS = 5


def session_routes(guard_of: Callable[..., ServiceAuthenticator], parts: Parts) -> Sequence[Route]:
    gateway, readers = guard_of("gateway"), guard_of("gateway", "history")

    async def start_session(request: Request) -> Response:
        asker = Caller(gateway(request), request_id(request))
        body, keyed = await decode_idempotent_body(request, asker, StartSessionRequest)
        session, new = await parts.starting.start(
            asker,
            keyed,
            session_id=body.id,
            assistant_id=body.assistant_id,
            title=body.title,
            metadata=body.metadata,
            temporary=body.temporary,
        )
        return shape_answer(session, 201 if new else 200)

    async def read_session(request: Request) -> Response:
        person, session_id = readers(request), request.path_params["session_id"]
        return shape_answer(await parts.sessions.read(session_id, person))

    async def change_session(request: Request) -> Response:
        asker = Caller(gateway(request), request_id(request))
        body = await decode_body(request, UpdateSessionRequest)
        changes = explicit_fields(body)
        if not changes:
            raise InvalidRequest("The body names nothing to change.")
        session_id = request.path_params["session_id"]
        return shape_answer(await parts.changing.change(session_id, asker, **changes))

    async def delete_session(request: Request) -> Response:
        asker = Caller(gateway(request), request_id(request))
        session_id = request.path_params["session_id"]
        deleted = await parts.erasing.delete(session_id, asker)
        answer = {
            "object": "session.deleted",
            "id": session_id,
            "erased": deleted.erase_at is None,
            "erase_at": deleted.erase_at and rfc3339(deleted.erase_at),
            "version": deleted.version,
        }
        return json_answer(answer)

    async def delete_sessions(request: Request) -> Response:
        asker = Caller(gateway(request), request_id(request))
        erased = await parts.erasing.erase_all_of(
            asker.person, "requested", asker, most=_ERASED_AT_ONCE, seconds=_ERASING_SECONDS
        )
        return json_answer({"object": "sessions.deleted", **msgspec.to_builtins(erased)})

    async def restore_session(request: Request) -> Response:
        asker = Caller(gateway(request), request_id(request))
        session_id = request.path_params["session_id"]
        await parts.erasing.restore(session_id, asker)
        return shape_answer(await parts.sessions.read(session_id, asker.person))

    async def fork_session(request: Request) -> Response:
        asker = Caller(gateway(request), request_id(request))
        body, keyed = await decode_idempotent_body(request, asker, ForkSessionRequest)
        session, new = await parts.forking.fork(
            request.path_params["session_id"],
            asker,
            keyed,
            message_id=body.message_id,
            session_id=body.id,
            title=body.title,
        )
        return shape_answer(session, 201 if new else 200)

    async def switch_assistant(request: Request) -> Response:
        asker = Caller(gateway(request), request_id(request))
        body, keyed = await decode_idempotent_body(request, asker, SwitchAssistantRequest)
        switched = await parts.starting.switch(asker, keyed, body.assistant_id)
        answer = {
            "object": "assistant_switch",
            "session": msgspec.Raw(switched.session.to_json()),
            "created": switched.created,
            "messages": [msgspec.Raw(message.to_json()) for message in switched.messages],
        }
        return json_answer(answer)

    one = "/sessions/{session_id:uuid}"
    return [
        Route("/sessions", start_session, methods=["POST"]),
        Route("/sessions", delete_sessions, methods=["DELETE"]),
        Route(one, read_session),
        Route(one, change_session, methods=["PATCH"]),
        Route(one, delete_session, methods=["DELETE"]),
        Route(f"{one}/restore", restore_session, methods=["POST"]),
        Route(f"{one}/fork", fork_session, methods=["POST"]),
        Route("/switch-assistant", switch_assistant, methods=["POST"]),
    ]
