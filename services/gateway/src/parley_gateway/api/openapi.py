"""Completes the OpenAPI document that FastAPI generates from the routes.

FastAPI knows neither the bodies that JSONBody reads nor the events inside a stream, and it adds a
422 of its own to operations whose validation errors are 400s here.
"""

from typing import Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from parley_gateway.chat_completions.schemas import CreateChatCompletion
from parley_gateway.schemas import requests
from parley_gateway.schemas.responses import ReplyDelta, ReplyEnded, TurnStarted

_BODIES = (
    requests.StartSession,
    requests.ChangeSession,
    requests.ForkSession,
    requests.SwitchAssistant,
    requests.SubmitMessage,
    requests.Regenerate,
    requests.ImportMessages,
    requests.Search,
    requests.DefineAssistant,
    requests.ReviseAssistant,
    CreateChatCompletion,
)
_EVENTS = (TurnStarted, ReplyDelta, ReplyEnded)
_FASTAPI_SCHEMAS = ("HTTPValidationError", "ValidationError")

Mode = Literal["validation", "serialization"]


def install_openapi(app: FastAPI) -> None:
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    # Documented by FastAPI as the way to extend the document.
    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = document["components"]["schemas"]
    schemas |= _schemas(_BODIES, "validation") | _schemas(_EVENTS, "serialization")
    for path in document["paths"].values():
        for operation in path.values():
            if _is_fastapi_error(operation["responses"].get("422")):
                del operation["responses"]["422"]
    for name in _FASTAPI_SCHEMAS:
        schemas.pop(name, None)
    return document


def _schemas(models: tuple[type[BaseModel], ...], mode: Mode) -> dict[str, Any]:
    template = "#/components/schemas/{model}"
    _, schemas = models_json_schema([(model, mode) for model in models], ref_template=template)
    definitions: dict[str, Any] = schemas["$defs"]
    return definitions


def _is_fastapi_error(response: dict[str, Any] | None) -> bool:
    return response is not None and "HTTPValidationError" in str(response)
