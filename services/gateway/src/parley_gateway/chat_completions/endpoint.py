"""Chat completions: OpenAI's API, with a session when the request names one."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from uuid import UUID

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from parley_contracts.session_api.limit_bodies import AdmitCompletionRequest
from parley_core.auth.caller import Caller
from parley_core.http.errors import InvalidRequest
from parley_core.token_estimate import content_bytes, estimate_tokens
from parley_gateway.chat_completions.parameter_support import ParameterSupport
from parley_gateway.chat_completions.schemas import CreateChatCompletion
from parley_gateway.chat_completions.session_completion import SessionCompletion
from parley_gateway.chat_completions.stateless_completion import CompletionCall, StatelessCompletion
from parley_gateway.http.asgi_response import ASGIResponse
from parley_gateway.http.stream_limiter import StreamLimiter
from parley_gateway.schemas.fields import UUID_PATTERN

SESSION_HEADER = "Parley-Session-Id"
_IN_METADATA = "metadata.session_id"
AdmitCompletion = Callable[
    [str, Callable[[], AdmitCompletionRequest], Caller, Scope],
    AbstractAsyncContextManager[UUID | None],
]


class ChatCompletions:
    def __init__(
        self,
        streams: StreamLimiter,
        with_session: SessionCompletion,
        stateless: StatelessCompletion,
        parameters: ParameterSupport,
        admit: AdmitCompletion,
    ) -> None:
        """`admit` refuses a completion without a session that is beyond a limit of the caller, or
        returns the id that it must have, if any.
        """
        self._streams, self._parameters = streams, parameters
        self._with_session, self._stateless = with_session, stateless
        self._admit = admit

    def create(
        self,
        request: CreateChatCompletion,
        caller: Caller,
        key_headers: dict[str, str],
        session_headers: Sequence[str],
        *,
        is_retry: bool,
    ) -> Response:
        session_id = _session_id(request, session_headers)
        if session_id is None:
            body = self._parameters.upstream_body(request)
            return ASGIResponse(partial(self._send_stateless, body, request, caller))
        command = self._with_session.to_command(
            request,
            self._parameters.turn_parameters(request),
            attach=not key_headers and is_retry,
        )
        return ASGIResponse(
            partial(self._send_with_session, session_id, command, request, caller, key_headers)
        )

    async def _send_stateless(
        self,
        body: bytes,
        request: CreateChatCompletion,
        caller: Caller,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        async with (
            self._streams.slot(caller.principal, "openai") as stop,
            self._admit(request.model, partial(_sized, request), caller, scope) as id,
        ):
            call = CompletionCall(body, bool(request.stream), id)
            await self._stateless.send_response(call, caller, scope, receive, send, stop)

    async def _send_with_session(
        self,
        session_id: UUID,
        command: bytes,
        request: CreateChatCompletion,
        caller: Caller,
        key_headers: dict[str, str],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        # Take the slot before the commit: an accepted message must also be answered.
        async with self._streams.slot(caller.principal, "openai") as stop:
            completion = await self._with_session.open(
                session_id, command, request, caller, key_headers, scope
            )
            await completion.send_response(scope, receive, send, stop)


def is_sdk_retry(retry_count: str) -> bool:
    """Whether `x-stainless-retry-count` marks an automatic retry of an OpenAI SDK."""
    return retry_count.isdecimal() and retry_count.isascii() and int(retry_count[:9]) > 0


def _sized(request: CreateChatCompletion) -> AdmitCompletionRequest:
    text = sum(content_bytes(message.content) for message in request.messages)
    # Calls of tools, too, are fields of messages; model servers render all of these as text.
    rendered = [
        *(message.__pydantic_extra__ for message in request.messages),
        *(request.tools, request.functions, request.response_format, request.prediction),
    ]
    text += sum(len(msgspec.json.encode(each)) for each in rendered if each)
    return AdmitCompletionRequest(
        request.model,
        prompt_tokens=estimate_tokens(text, cautious=True),
        # The model server may use either one.
        max_tokens=max(request.max_completion_tokens or 0, request.max_tokens or 0) or None,
        choices=request.n or 1,
    )


def _session_id(request: CreateChatCompletion, session_headers: Sequence[str]) -> UUID | None:
    """Raises InvalidRequest."""
    candidates = [(SESSION_HEADER, text) for text in session_headers]
    if (in_metadata := (request.metadata or {}).get("session_id")) is not None:
        candidates.append((_IN_METADATA, in_metadata))
    for param, text in candidates:
        if not UUID_PATTERN.fullmatch(text):
            raise InvalidRequest("Input should be a session id.", param=param)
    ids = {UUID(text) for _, text in candidates}
    if len(ids) > 1:
        raise InvalidRequest("The request names two sessions.", param=SESSION_HEADER)
    return ids.pop() if ids else None
