"""How large a body may be: a completion brings its whole conversation along."""

from starlette.types import ASGIApp, Receive, Scope, Send

from parley_core.http.body_limit import BodyLimitMiddleware
from parley_inference.api.completions_api import COMPLETIONS


class BodyLimits:
    """ASGI middleware; `limit` and `completions` are in bytes."""

    def __init__(self, app: ASGIApp, limit: int, completions: int) -> None:
        self._usual = BodyLimitMiddleware(app, limit)
        self._completions = BodyLimitMiddleware(app, completions)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_completion = scope["type"] == "http" and scope["path"] == COMPLETIONS
        await (self._completions if is_completion else self._usual)(scope, receive, send)
