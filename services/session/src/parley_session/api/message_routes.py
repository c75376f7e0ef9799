"""Routes that add to a session: messages, regenerated replies, imports, titles and summaries."""

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley_contracts.session_api.imports import ImportMessagesRequest
from parley_contracts.session_api.turns import (
    CompactContextRequest,
    RegenerateReplyRequest,
    SubmitMessageRequest,
    SuggestTitleRequest,
)
from parley_core.http.service_auth import caller_of
from parley_core.runtime.offload import run_in_thread_if_large
from parley_session.api.request_parsing import (
    decode_body,
    decode_records,
    idempotent_request_of,
    usage_and_price,
)
from parley_session.api.responses import json_response, model_response
from parley_session.application.sessions.import_messages import MessageImporter
from parley_session.application.sessions.update_session import SessionUpdater
from parley_session.application.turns.submit_message import NewMessages, OpenedTurn, TurnCommands
from parley_session.domain.session.commands import CompactContext, SuggestTitle


def message_routes(
    turn_commands: TurnCommands,
    importer: MessageImporter,
    updater: SessionUpdater,
) -> Sequence[Route]:
    async def submit_message(request: Request) -> Response:
        caller = caller_of(request)
        body = await decode_body(request, SubmitMessageRequest)
        # `attach` marks a retry, and a retry need not interrupt the turn that the first attempt
        # opened: the fingerprint depends on neither.
        idempotent_request = idempotent_request_of(
            request, caller, msgspec.structs.replace(body, attach=False, on_open_turn="reject")
        )
        parent = body.parent_message_id
        new_messages = NewMessages(
            body.content,
            body.preceding,
            None if parent is msgspec.UNSET else parent,
            as_root=parent is None,
            model=body.model,
            parameters=body.parameters,
            attach=body.attach,
        )
        session_id = request.path_params["session_id"]
        opened = await turn_commands.submit(
            session_id, new_messages, caller, idempotent_request, body.on_open_turn
        )
        return _turn_response(opened)

    async def regenerate_reply(request: Request) -> Response:
        caller = caller_of(request)
        body = await decode_body(request, RegenerateReplyRequest)
        idempotent_request = idempotent_request_of(
            request, caller, msgspec.structs.replace(body, on_open_turn="reject")
        )
        opened = await turn_commands.regenerate(
            request.path_params["session_id"],
            body.message_id,
            caller,
            idempotent_request,
            body.on_open_turn,
        )
        return _turn_response(opened)

    async def import_messages(request: Request) -> Response:
        caller = caller_of(request)
        body = await decode_body(request, ImportMessagesRequest)
        messages = body.messages
        records = await run_in_thread_if_large(len(messages), lambda: decode_records(messages))
        imported = await importer.import_messages(
            request.path_params["session_id"],
            records,
            body.on_error,
            caller,
            idempotent_request_of(request, caller, body),
        )
        return json_response(imported)

    async def suggest_title(request: Request) -> Response:
        caller = caller_of(request)
        body = await decode_body(request, SuggestTitleRequest)
        command = SuggestTitle(body.title, body.model, **usage_and_price(body))
        await updater.apply_model_suggestion(request.path_params["session_id"], command, caller)
        return json_response({})

    async def compact_context(request: Request) -> Response:
        caller = caller_of(request)
        body = await decode_body(request, CompactContextRequest)
        command = CompactContext(
            body.up_to_message_id, body.summary, body.model, body.tokens, **usage_and_price(body)
        )
        await updater.apply_model_suggestion(request.path_params["session_id"], command, caller)
        return json_response({})

    session = "/sessions/{session_id:uuid}"
    return [
        Route(f"{session}/messages", submit_message, methods=["POST"]),
        Route(f"{session}/regenerate", regenerate_reply, methods=["POST"]),
        Route(f"{session}/import", import_messages, methods=["POST"]),
        Route(f"{session}/title", suggest_title, methods=["POST"]),
        Route(f"{session}/compaction", compact_context, methods=["POST"]),
    ]


def _turn_response(opened: OpenedTurn) -> Response:
    response = model_response(opened.turn, 201 if opened.is_new else 200)
    response.headers.update(opened.headers)
    return response
