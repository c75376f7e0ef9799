"""How large a body may be: imports are larger than anything else that clients send."""

from starlette.types import ASGIApp, Receive, Scope, Send

from parley_core.body_limit import BodyLimitMiddleware

_IMPORTS = "/v1/history/"


class BodyLimits:
    """ASGI middleware; `limit` and `imports` are in bytes."""

    def __init__(self, app: ASGIApp, limit: int, imports: int) -> None:
        self._usual = BodyLimitMiddleware(app, limit)
        self._imports = BodyLimitMiddleware(app, imports)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_import = scope["type"] == "http" and scope["path"].startswith(_IMPORTS)
        await (self._imports if is_import else self._usual)(scope, receive, send)
