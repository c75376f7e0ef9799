"""Routes of sessions: start, list, read, change, fork, restore and erase."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from parley_contracts.api_models import SessionShape
from parley_gateway.api import examples
from parley_gateway.api.responses import BODY, COMMAND, HISTORY, SESSION, responses
from parley_gateway.http.request_parsing import (
    STRICT_QUERY,
    IdempotencyHeaders,
    JSONBody,
    SessionId,
    check_not_empty,
)
from parley_gateway.route_dependencies import (
    CurrentCaller,
    ForwarderDependency,
    UpstreamsDependency,
)
from parley_gateway.schemas.queries import SessionsQuery
from parley_gateway.schemas.requests import (
    ChangeSession,
    EmptyBody,
    ForkSession,
    StartSession,
    SwitchAssistant,
)
from parley_gateway.schemas.responses import (
    AssistantSwitch,
    SessionDeleted,
    SessionList,
    SessionsDeleted,
)

_SESSION = examples.json_example(examples.SESSION)
_NO_NEW_SESSION = {
    404: ("assistant_not_found",),
    409: ("session_id_unavailable", "assistant_retired"),
}


router = APIRouter(prefix="/v1", tags=["chat"])


@router.post(
    "/sessions",
    summary="Start a session",
    status_code=201,
    response_model=SessionShape,
    responses=responses(
        {201: _SESSION, 200: _SESSION | {"model": SessionShape}}, COMMAND, _NO_NEW_SESSION
    ),
)
async def start_session(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    headers: IdempotencyHeaders,
    body: Annotated[StartSession, Depends(JSONBody(StartSession))],
) -> Response:
    """200 for a repeated request with the same `Idempotency-Key`."""
    return await forwarder.forward_command("POST", "/sessions", caller, body.to_json(), headers)


@router.get(
    "/sessions",
    summary="List one's sessions",
    response_model=SessionList,
    responses=responses({200: examples.json_example(examples.SESSION_LIST)}, HISTORY),
    dependencies=[STRICT_QUERY],
)
async def list_sessions(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    upstreams: UpstreamsDependency,
    query: Annotated[SessionsQuery, Query()],
) -> Response:
    """Most recently changed first, with everything that the caller wrote. Excludes temporary
    and deleted sessions.
    """
    return await forwarder.get(upstreams.history, "/sessions", caller, query.to_query())


@router.delete(
    "/sessions",
    summary="Erase all of one's sessions",
    response_model=SessionsDeleted,
    responses=responses({200: examples.json_example(examples.SESSIONS_DELETED)}),
)
async def erase_sessions(caller: CurrentCaller, forwarder: ForwarderDependency) -> Response:
    """Permanent, even where the policy has an undelete window. Sessions under a legal hold
    remain. Repeat the request while `has_more` is true.
    """
    return await forwarder.forward_command("DELETE", "/sessions", caller)


@router.get(
    "/sessions/{session_id}",
    summary="Read a session",
    response_model=SessionShape,
    responses=responses({200: _SESSION}, SESSION),
)
async def read_session(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    upstreams: UpstreamsDependency,
    session_id: SessionId,
) -> Response:
    return await forwarder.get(upstreams.session, f"/sessions/{session_id}", caller)


@router.patch(
    "/sessions/{session_id}",
    summary="Rename a session, change its metadata, archive it",
    response_model=SessionShape,
    responses=responses(
        {200: _SESSION},
        BODY,
        SESSION,
        {403: ("missing_scope",), 413: ("session_too_large", "body_too_large")},
    ),
)
async def change_session(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    session_id: SessionId,
    body: Annotated[ChangeSession, Depends(JSONBody(ChangeSession))],
) -> Response:
    """`legal_hold` requires the scope `admin`, and applies to any session of the tenant when
    it is the only field.
    """
    check_not_empty(body)
    path = f"/sessions/{session_id}"
    return await forwarder.forward_command("PATCH", path, caller, body.to_json())


@router.delete(
    "/sessions/{session_id}",
    summary="Erase a session",
    response_model=SessionDeleted,
    responses=responses(
        {200: examples.json_example(examples.SESSION_DELETED)}, SESSION, {409: ("legal_hold",)}
    ),
)
async def delete_session(
    caller: CurrentCaller, forwarder: ForwarderDependency, session_id: SessionId
) -> Response:
    """The session's key is destroyed before the response: nobody can read it again. Where the
    policy has an undelete window, the session is deleted first and erased at `erase_at`.
    """
    return await forwarder.forward_command("DELETE", f"/sessions/{session_id}", caller)


@router.post(
    "/sessions/{session_id}/restore",
    summary="Restore a deleted session",
    response_model=SessionShape,
    responses=responses({200: _SESSION}, COMMAND, SESSION, {409: ("not_deleted",)}),
)
async def restore_session(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    headers: IdempotencyHeaders,
    session_id: SessionId,
    body: Annotated[EmptyBody, Depends(JSONBody(EmptyBody))],
) -> Response:
    path = f"/sessions/{session_id}/restore"
    return await forwarder.forward_command("POST", path, caller, body.to_json(), headers)


@router.post(
    "/sessions/{session_id}/fork",
    summary="Start a session with the messages of another one",
    status_code=201,
    response_model=SessionShape,
    responses=responses(
        {201: _SESSION, 200: _SESSION | {"model": SessionShape}},
        COMMAND,
        SESSION,
        {409: ("session_id_unavailable", "fork_too_large", "assistant_retired")},
    ),
)
async def fork_session(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    headers: IdempotencyHeaders,
    session_id: SessionId,
    body: Annotated[ForkSession, Depends(JSONBody(ForkSession))],
) -> Response:
    """Copies a message and all messages that led to it."""
    path = f"/sessions/{session_id}/fork"
    return await forwarder.forward_command("POST", path, caller, body.to_json(), headers)


@router.post(
    "/switch-assistant",
    summary="Continue with another assistant",
    response_model=AssistantSwitch,
    responses=responses(
        {200: examples.json_example(examples.ASSISTANT_SWITCH)}, COMMAND, _NO_NEW_SESSION
    ),
)
async def switch_assistant(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    headers: IdempotencyHeaders,
    body: Annotated[SwitchAssistant, Depends(JSONBody(SwitchAssistant))],
) -> Response:
    """Returns the caller's latest session with that assistant, or a new one."""
    return await forwarder.forward_command(
        "POST", "/switch-assistant", caller, body.to_json(), headers
    )
