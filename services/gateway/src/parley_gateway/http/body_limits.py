"""How large a body may be: imports and completions bring whole conversations along."""

from starlette.types import ASGIApp, Receive, Scope, Send

from parley_core.http.body_limit import BodyLimitMiddleware

_IMPORTS = "/v1/history/"
_COMPLETIONS = "/v1/chat/completions"


class BodyLimits:
    """ASGI middleware; `usual`, `imports` and `completions` are in bytes."""

    def __init__(self, app: ASGIApp, usual: int, imports: int, completions: int) -> None:
        self._usual = BodyLimitMiddleware(app, usual)
        self._imports = BodyLimitMiddleware(app, imports)
        self._completions = BodyLimitMiddleware(app, completions)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope)(scope, receive, send)

    def _app(self, scope: Scope) -> ASGIApp:
        path = scope["path"] if scope["type"] == "http" else ""
        if path.startswith(_IMPORTS):
            return self._imports
        return self._completions if path == _COMPLETIONS else self._usual
