"""POST /v1/chat/completions: OpenAI's API, of a session where the request names one."""

from uuid import UUID

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from parley_core.http.errors import InvalidRequest
from parley_gateway.chat_completions.parameter_support import (
    check_supported,
    check_supported_in_session,
)
from parley_gateway.chat_completions.schemas import CreateChatCompletion
from parley_gateway.chat_completions.session_completion import SessionCompletion
from parley_gateway.chat_completions.stateless_completion import StatelessCompletion
from parley_gateway.http.request_parsing import body_of, idempotency_header
from parley_gateway.http.stream_limiter import StreamLimiter
from parley_gateway.parts import Parts
from parley_gateway.schemas.fields import UUID_FORM

SESSION_HEADER = "Parley-Session-Id"
_IN_METADATA = "metadata.session_id"


class ChatCompletions:
    """An ASGI application: its answer may be a stream."""

    def __init__(
        self,
        parts: Parts,
        streams: StreamLimiter,
        of_a_session: SessionCompletion,
        stateless: StatelessCompletion,
        body_seconds: float,
    ) -> None:
        self._parts, self._streams = parts, streams
        self._of_a_session, self._stateless = of_a_session, stateless
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        asker = await self._parts.authenticate(request)
        key = idempotency_header(request)
        asked = await body_of(request, CreateChatCompletion, self._body_seconds)
        check_supported(asked)
        session_id = _session_named(request, asked)
        if session_id is None:
            _check_no_key(key)
            with self._streams.one() as stop:
                await self._stateless.answer(asked, asker, scope, receive, send, stop)
            return
        check_supported_in_session(asked)
        new = self._of_a_session.command(asked, attach=not key and _is_retry(request))
        # Before the commit: a message that was accepted must also be answered.
        with self._streams.one() as stop:
            completion = await self._of_a_session.opened(session_id, new, asked, asker, key)
            await completion.answer(scope, receive, send, stop)


def _session_named(request: Request, asked: CreateChatCompletion) -> UUID | None:
    """Raises InvalidRequest."""
    named = [(SESSION_HEADER, text) for text in request.headers.getlist(SESSION_HEADER)]
    if (in_metadata := (asked.metadata or {}).get("session_id")) is not None:
        named.append((_IN_METADATA, in_metadata))
    for param, text in named:
        if not UUID_FORM.fullmatch(text):
            raise InvalidRequest("This should be the id of a session.", param=param)
    ids = {UUID(text) for _, text in named}
    if len(ids) > 1:
        raise InvalidRequest("Two sessions are named.", param=SESSION_HEADER)
    return ids.pop() if ids else None


def _check_no_key(key: dict[str, str]) -> None:
    if key:
        raise InvalidRequest(
            "Nothing is kept of a call without a session: leave the key out, or name a session.",
            param="Idempotency-Key",
        )


def _is_retry(request: Request) -> bool:
    """Whether one of OpenAI's SDKs asks again, of itself."""
    count = request.headers.get("x-stainless-retry-count", "0")
    return count.isdecimal() and count.isascii() and int(count[:9]) > 0
