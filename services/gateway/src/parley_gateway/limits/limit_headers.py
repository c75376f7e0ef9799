"""ASGI middleware: adds the x-ratelimit headers of a request to its response."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_OF_TOKENS = [f"x-ratelimit-{kind}-tokens" for kind in ("limit", "remaining", "reset")]
_STATE = "rate_limit_headers"


def set_limit_headers(scope: Scope, headers: Mapping[str, str]) -> None:
    """The response to the request will have these headers, beside those set before."""
    if headers:
        state = scope.setdefault("state", {})
        state[_STATE] = {**state.get(_STATE, {}), **headers}


def pass_limit_headers(headers: Mapping[str, str], scope: Scope) -> None:
    """The response to the request will have those of the headers that show a limit of tokens."""
    set_limit_headers(scope, {name: headers[name] for name in _OF_TOKENS if name in headers})


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
