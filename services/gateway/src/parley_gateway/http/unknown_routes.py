"""Exception handlers: 404 for unknown routes and 405; both say what there is instead."""

from collections.abc import Iterator

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from parley_core.http.error_handlers import error_response
from parley_core.http.errors import NotFound, ParleyError

_MAX_QUOTED_LENGTH = 200
_PREFIX = "/v1"

_COMPLETIONS = "POST /v1/chat/completions"
_IN_SESSION = f"{_COMPLETIONS} with metadata.session_id continues a conversation."
_SESSIONS = (
    "Conversations are sessions: POST /v1/sessions, then /v1/sessions/{session_id}/messages."
)
_COMPATIBLE = f"Of OpenAI's API there are {_COMPLETIONS} and GET /v1/models."
# By the first part of a path of OpenAI's API that OpenAI's clients request.
_INSTEAD = {
    "completions": f"Use {_COMPLETIONS}.",
    "responses": f"Use {_COMPLETIONS}; {_IN_SESSION}",
    "conversations": _SESSIONS,
    "threads": _SESSIONS,
    "chat": _COMPATIBLE,
    **dict.fromkeys(
        (
            "audio",
            "batches",
            "containers",
            "embeddings",
            "evals",
            "files",
            "fine_tuning",
            "images",
            "moderations",
            "realtime",
            "uploads",
            "vector_stores",
            "videos",
        ),
        _COMPATIBLE,
    ),
}


class MethodNotAllowed(ParleyError):
    status, type, code = 405, "invalid_request_error", "method_not_allowed"


def install_unknown_route_handlers(app: FastAPI) -> None:
    app.add_exception_handler(NotFound.status, _on_unknown_path)
    app.add_exception_handler(MethodNotAllowed.status, _on_method_not_allowed)


async def _on_unknown_path(request: Request, error: Exception) -> Response:
    path: str = request.scope["path"]
    message = f"There is no route {request.method} {path[:_MAX_QUOTED_LENGTH]}."
    if hint := _hint(request, path):
        message += f" {hint}"
    headers = error.headers if isinstance(error, HTTPException) else None
    return error_response(request, NotFound(message, headers=headers))


async def _on_method_not_allowed(request: Request, error: Exception) -> Response:
    """Allow lists the methods of all routes at the path: FastAPI has one route per method."""
    del error
    path: str = request.scope["path"]
    # Of the files of a mounted application there is no route.
    allow = ", ".join(sorted(_methods(request, path))) or "GET, HEAD"
    message = f"{path[:_MAX_QUOTED_LENGTH]} does not allow {request.method}, but {allow}."
    return error_response(request, MethodNotAllowed(message, headers={"allow": allow}))


def _hint(request: Request, path: str) -> str | None:
    for similar in _similar(path):
        if _methods(request, similar):
            return f"Did you mean {similar[:_MAX_QUOTED_LENGTH]}?"
    return _INSTEAD.get(path.removeprefix(_PREFIX).removeprefix("/").partition("/")[0])


def _similar(path: str) -> Iterator[str]:
    """Paths that a client with another base URL, or with a slash too many, would have meant."""
    trimmed = "/" + "/".join(filter(None, path.split("/")))
    yield trimmed
    yield _PREFIX + trimmed
    yield trimmed.removeprefix(_PREFIX)


def _methods(request: Request, path: str) -> set[str]:
    """The methods of all routes that match the path."""
    scope = {**request.scope, "path": path}
    return {
        method
        for route in request.app.routes
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE
        for method in route.methods or ()
    }
