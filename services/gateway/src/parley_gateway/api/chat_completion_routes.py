"""The routes that OpenAI's clients know: chat completions, and a model by its name."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from parley_gateway.chat_completions.endpoint import ChatCompletions
from parley_gateway.chat_completions.model_directory import ModelDirectory
from parley_gateway.chat_completions.session_completion import SessionCompletion
from parley_gateway.chat_completions.stateless_completion import StatelessCompletion
from parley_gateway.http.forwarding import Forwarder, Routes
from parley_gateway.http.stream_limiter import StreamLimiter
from parley_gateway.parts import Parts
from parley_gateway.turns.limits import TurnLimits
from parley_gateway.turns.open_turn import TurnOpener


def completion_routes(
    parts: Parts,
    passing: Forwarder,
    streams: StreamLimiter,
    limits: TurnLimits,
    *,
    models_seconds: float,
    drain_seconds: float,
) -> Routes:
    models = ModelDirectory(parts, passing, models_seconds)

    async def model(request: Request) -> Response:
        asker = await parts.authenticate(request)
        return JSONResponse(await models.find(request.path_params["model"], asker))

    opening = TurnOpener(parts, passing, limits.relay)
    completions = ChatCompletions(
        parts,
        streams,
        SessionCompletion(opening, models, limits),
        StatelessCompletion(parts, limits, drain_seconds),
        limits.body,
    )
    return {
        "/v1/chat/completions": {"POST": completions},
        # Names of models have slashes in them.
        "/v1/models/{model:path}": {"GET": model},
    }
