"""Request body limits; a completion may carry a whole conversation, other requests are small."""

from starlette.types import ASGIApp, Receive, Scope, Send

from parley_core.http.body_limit import BodyBudget, BodyLimitMiddleware
from parley_inference.api.routes import COMPLETIONS_PATH

# Other requests have two ids and a number.
MAX_BODY_BYTES = 16 * 1024
# Above the gateway's limit of 4 MiB: the same body may be longer once it is encoded again.
MAX_COMPLETION_BODY_BYTES = 6 * 1024 * 1024


class BodyLimits:
    """ASGI middleware that applies the limit of the requested path."""

    def __init__(self, app: ASGIApp, max_total_bytes: int) -> None:
        budget = BodyBudget(max_total_bytes, "inference_busy")
        self._default = BodyLimitMiddleware(app, MAX_BODY_BYTES, budget)
        self._completions = BodyLimitMiddleware(app, MAX_COMPLETION_BODY_BYTES, budget)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_completion = scope["type"] == "http" and scope["path"] == COMPLETIONS_PATH
        await (self._completions if is_completion else self._default)(scope, receive, send)
