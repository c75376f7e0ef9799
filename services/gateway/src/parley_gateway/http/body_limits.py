"""Request body limits by route: imports and chat completions carry whole conversations."""

from pydantic import Field
from starlette.types import ASGIApp, Receive, Scope, Send

from parley_contracts.session_api.limits import MAX_MESSAGE_BYTES
from parley_core.http.body_limit import MAX_TOTAL_BYTES, BodyBudget, BodyLimitMiddleware
from parley_core.runtime.settings import Count, SettingsGroup

# JSON escapes may take six bytes for each byte of a message.
MAX_BODY_BYTES = 6 * MAX_MESSAGE_BYTES + 64 * 1024
_IMPORTS = "/v1/history/"
_COMPLETIONS = "/v1/chat/completions"


class BodyLimitSettings(SettingsGroup):
    max_import_bytes: Count = Field(
        default=4 * 1024 * 1024, description="the bytes of the largest body of a history import"
    )
    max_completion_bytes: Count = Field(
        default=4 * 1024 * 1024, description="the bytes of the largest body of a chat completion"
    )
    max_total_bytes: Count = Field(
        default=MAX_TOTAL_BYTES,
        description="the bytes of the bodies of all requests at once, until they are answered",
    )


class BodyLimits:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, settings: BodyLimitSettings) -> None:
        budget = BodyBudget(settings.max_total_bytes, "gateway_busy")
        self._default = BodyLimitMiddleware(app, MAX_BODY_BYTES, budget)
        self._imports = BodyLimitMiddleware(app, settings.max_import_bytes, budget)
        self._completions = BodyLimitMiddleware(app, settings.max_completion_bytes, budget)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._limited_app(scope)(scope, receive, send)

    def _limited_app(self, scope: Scope) -> ASGIApp:
        path = scope["path"] if scope["type"] == "http" else ""
        if path.startswith(_IMPORTS):
            return self._imports
        return self._completions if path == _COMPLETIONS else self._default
