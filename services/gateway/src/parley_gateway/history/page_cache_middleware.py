"""Answers pages of history that are kept, before the application sees the request.

It looks at as little of a request as it can: nearly all of its time is the server's.
"""

from collections.abc import Iterable
from secrets import token_hex

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley_core.http.errors import REQUEST_ID
from parley_gateway.history.conditional_get import is_not_modified, response_start
from parley_gateway.parts import Parts

PATH = "/v1/history/"

_REQUEST_ID = REQUEST_ID.encode()
# Requests that have one of them are the application's.
_NOT_OURS = frozenset((_REQUEST_ID, b"content-length", b"transfer-encoding"))


class PageCacheMiddleware:
    """An ASGI application around another, to which it leaves whatever it does not know for sure."""

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app = app
        self._pages, self._verified = parts.pages, parts.verified

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PATH):
            answer = self._answer(scope)
            if answer is not None:
                for message in answer:
                    await send(message)
                return
        await self._app(scope, receive, send)

    def _answer(self, scope: Scope) -> Iterable[Message] | None:
        if scope["method"] != "GET":
            return None
        authorization = if_none_match = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = authorization or value
            elif name == b"if-none-match":
                if_none_match = if_none_match or value
            elif name in _NOT_OURS:
                return None
        verified = self._verified.find(authorization)
        if verified is None:
            return None
        page = self._pages.find((verified.person, scope["raw_path"], scope["query_string"]))
        if page is None:
            return None
        held = is_not_modified(page, if_none_match)
        return (
            response_start(page, held, (_REQUEST_ID, token_hex(16).encode())),
            {"type": "http.response.body", "body": b"" if held else page.body},
        )
