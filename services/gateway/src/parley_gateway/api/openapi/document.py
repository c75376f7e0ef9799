"""The OpenAPI document, built from the operations and from the models that requests are checked by.

Source: https://spec.openapis.org/oas/v3.1.0.html
"""

import re
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from parley_gateway.api.openapi import examples
from parley_gateway.api.openapi.operations import OPERATIONS
from parley_gateway.api.openapi.operations.operation import Errors, Operation
from parley_gateway.api.openapi.operations.turns import EVENT_STREAM
from parley_gateway.schemas.fields import ASSISTANT_FORM
from parley_gateway.schemas.responses import ErrorResponse, ReplyDelta, ReplyEnded, TurnStarted

Node = dict[str, Any]
Described = tuple[type[BaseModel], Literal["validation", "serialization"]]

_JSON = "application/json"
_EVENTS: set[type[BaseModel]] = {TurnStarted, ReplyDelta, ReplyEnded, ErrorResponse}
_PARAMETER = re.compile(r"\{(\w+)\}")
_REF = "#/components/schemas/{model}"


@cache
def document() -> Node:
    paths: Node = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Parley",
            "version": "1",
            "description": "An AI-chat backend that never forgets and never loses an answer. "
            "Every error has the shape ErrorResponse, and every response an `x-request-id`.",
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "ticket": {"type": "apiKey", "in": "query", "name": "ticket"},
            },
        },
        "security": [{"bearer": []}],
    }


def _operation(operation: Operation) -> Node:
    node: Node = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation), *_query_parameters(operation)],
        "responses": _responses(operation),
    }
    if operation.description:
        node["description"] = operation.description
    if operation.public:
        node["security"] = []
    if operation.method == "post":
        node["parameters"].append(_IDEMPOTENCY_KEY)
    node["parameters"].extend(operation.headers)
    if operation.resumes:
        node["parameters"].append(_LAST_EVENT_ID)
        node["security"] = [{"bearer": []}, {"ticket": []}]
    if operation.conditional:
        node["parameters"].append(_IF_NONE_MATCH)
    if operation.body is not None:
        required = any(field.is_required() for field in operation.body.model_fields.values())
        node["requestBody"] = {"required": required, "content": {_JSON: _media(operation.body)}}
    return node


def _path_parameters(operation: Operation) -> Iterator[Node]:
    for name in _PARAMETER.findall(operation.path):
        schema = _PATH_PARAMETERS.get(name, _UUID)
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(operation: Operation) -> Iterator[Node]:
    if operation.query is not None:
        for name, schema in operation.query.model_json_schema()["properties"].items():
            yield {"name": name, "in": "query", "required": False, "schema": schema}


def _responses(operation: Operation) -> Node:
    responses: Node = {}
    for status, model in operation.answers.items():
        content = {_JSON: _media(model)} if model else {}
        if status == HTTPStatus.OK:
            content |= {kind: _text(kind, operation.name) for kind in operation.streams}
        responses[str(status)] = {"description": HTTPStatus(status).phrase}
        if content:
            responses[str(status)]["content"] = content
        if operation.conditional:
            responses[str(status)]["headers"] = {"ETag": _ETAG}
    for errors in operation.errors:
        responses.update(_refusals(errors))
    return responses


def _text(kind: str, name: str) -> Node:
    # Of events no schema: the version of OpenAPI has none for what is in a stream.
    return {"example": examples.stream(name)} if kind == EVENT_STREAM else _STRING


def _refusals(errors: Errors) -> Iterator[tuple[str, Node]]:
    for status, codes in errors.items():
        media = _media(ErrorResponse)
        media["example"] = examples.error(status, codes[0])
        yield (
            str(status),
            {
                "description": "Code " + " or ".join(f"`{code}`" for code in codes) + ".",
                "content": {_JSON: media},
            },
        )


def _media(model: type[BaseModel]) -> Node:
    media: Node = {"schema": {"$ref": _REF.format(model=model.__name__)}}
    if (example := examples.of(model)) is not None:
        media["example"] = example
    return media


def _schemas() -> Node:
    bodies = {operation.body for operation in OPERATIONS if operation.body is not None}
    answers = {model for operation in OPERATIONS for model in operation.answers.values() if model}
    described: list[Described] = [(model, "validation") for model in bodies]
    described += [(model, "serialization") for model in answers | _EVENTS]
    _, schemas = models_json_schema(described, ref_template=_REF)
    return dict(sorted(schemas["$defs"].items()))


_STRING = {"schema": {"type": "string"}}
_UUID = {"type": "string", "format": "uuid"}
_ASSISTANT_ID = {"type": "string", "pattern": ASSISTANT_FORM}
_PATH_PARAMETERS = {"assistant_id": _ASSISTANT_ID, "model": {"type": "string"}}
_ETAG = {"description": "The version of the history.", "schema": {"type": "string"}}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of the page that the client has: 304 when it has not changed.",
    "schema": {"type": "string"},
}
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The `id` of the last event that the client has.",
    "schema": {"type": "string", "pattern": "^([0-9]{1,10}|end)$"},
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Up to 255 visible ASCII characters, kept for 24 hours: the same request with "
    "the same key is answered as the first one was, and does nothing again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
