"""The routes of what is said in a session: by its owner, brought along, or by a model about it."""

from collections.abc import Callable, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley_contracts.session_api.sessions import ImportMessagesRequest
from parley_contracts.session_api.turns import (
    CompactContextRequest,
    RegenerateReplyRequest,
    SubmitMessageRequest,
    SuggestTitleRequest,
)
from parley_core.http.service_auth import ServiceAuthenticator, request_id
from parley_session.api.request_parsing import (
    decode_body,
    decode_idempotent_body,
    idempotent_request_of,
    usage_and_price,
)
from parley_session.api.responses import json_answer, shape_answer
from parley_session.application.command_executor import Caller
from parley_session.application.sessions.import_messages import MessageToImport
from parley_session.application.turns.submit_message import NewMessages
from parley_session.domain.session.commands import CompactContext, SuggestTitle
from parley_session.parts import Parts


def message_routes(guard_of: Callable[..., ServiceAuthenticator], parts: Parts) -> Sequence[Route]:
    gateway, inference = guard_of("gateway"), guard_of("inference")

    async def submit_message(request: Request) -> Response:
        asker = Caller(gateway(request), request_id(request))
        body = await decode_body(request, SubmitMessageRequest)
        # Whether it may attach makes it no other request.
        keyed = idempotent_request_of(request, asker, msgspec.structs.replace(body, attach=False))
        parent = body.parent_message_id
        saying = NewMessages(
            body.content,
            body.preceding,
            None if parent is msgspec.UNSET else parent,
            begins=parent is None,
            model=body.model,
            attach=body.attach,
        )
        session_id = request.path_params["session_id"]
        turn, new = await parts.asking.submit(session_id, saying, asker, keyed)
        return shape_answer(turn, 201 if new else 200)

    async def regenerate_reply(request: Request) -> Response:
        asker = Caller(gateway(request), request_id(request))
        body, keyed = await decode_idempotent_body(request, asker, RegenerateReplyRequest)
        session_id = request.path_params["session_id"]
        turn, new = await parts.asking.regenerate(session_id, body.message_id, asker, keyed)
        return shape_answer(turn, 201 if new else 200)

    async def import_messages(request: Request) -> Response:
        asker = Caller(gateway(request), request_id(request))
        body = await decode_body(request, ImportMessagesRequest)
        session_id = request.path_params["session_id"]
        brought = [MessageToImport(m.role, m.content, m.id, m.created_at) for m in body.messages]
        done = await parts.importing.import_messages(session_id, brought, asker)
        counts = msgspec.to_builtins(done)
        return json_answer({"object": "history_import", "session_id": session_id, **counts})

    async def suggest_title(request: Request) -> Response:
        asker = Caller(inference(request), request_id(request), system=True)
        body = await decode_body(request, SuggestTitleRequest)
        command = SuggestTitle(body.title, body.model, **usage_and_price(body))
        await parts.changing.apply_model_suggestion(
            request.path_params["session_id"], command, asker
        )
        return json_answer({})

    async def compact_context(request: Request) -> Response:
        asker = Caller(inference(request), request_id(request), system=True)
        body = await decode_body(request, CompactContextRequest)
        command = CompactContext(
            body.up_to_message_id, body.summary, body.model, body.tokens, **usage_and_price(body)
        )
        await parts.changing.apply_model_suggestion(
            request.path_params["session_id"], command, asker
        )
        return json_answer({})

    one = "/sessions/{session_id:uuid}"
    return [
        Route(f"{one}/messages", submit_message, methods=["POST"]),
        Route(f"{one}/regenerate", regenerate_reply, methods=["POST"]),
        Route(f"{one}/import", import_messages, methods=["POST"]),
        Route(f"{one}/title", suggest_title, methods=["POST"]),
        Route(f"{one}/compaction", compact_context, methods=["POST"]),
    ]
