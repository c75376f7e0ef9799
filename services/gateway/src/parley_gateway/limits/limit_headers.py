"""ASGI middleware: adds the x-ratelimit headers of a request to its response."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_STATE = "rate_limit_headers"


def set_limit_headers(scope: Scope, headers: Mapping[str, str]) -> None:
    """The response to the request will have these headers."""
    if headers:
        scope.setdefault("state", {})[_STATE] = headers


class LimitHeaders:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start" and (limits := state.get(_STATE)):
                more = [(name.encode(), value.encode()) for name, value in limits.items()]
                present = {name for name, _ in message["headers"]}
                more = [header for header in more if header[0] not in present]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        await self._app(scope, receive, send_with_headers)
