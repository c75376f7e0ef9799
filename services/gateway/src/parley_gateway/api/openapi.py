"""Completes the OpenAPI document that FastAPI generates from the routes.

FastAPI knows neither the bodies that dependencies read nor the events inside a stream, and it adds
a 422 of its own to operations whose validation errors are 400s here.
"""

from collections.abc import Iterable
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic.json_schema import models_json_schema

from parley_gateway.api.examples import REFERENCED
from parley_gateway.http.request_parsing import ForwardedBody, JSONBody
from parley_gateway.schemas.fields import PatchModel

_FASTAPI_SCHEMAS = ("HTTPValidationError", "ValidationError")
_REF_TEMPLATE = "#/components/schemas/{model}"

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
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        servers=[{"url": "/", "description": "The gateway that serves this document."}],
    )
    bodies: list[type[BaseModel]] = []
    for route in app.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                operation = document["paths"][route.path_format][method.lower()]
                bodies += _complete(operation, route)
    schemas = document["components"]["schemas"]
    schemas |= _schemas(bodies, "validation") | _schemas(REFERENCED, "serialization")
    for name in _FASTAPI_SCHEMAS:
        schemas.pop(name, None)
    return document


def _complete(operation: dict[str, Any], route: APIRoute) -> list[type[BaseModel]]:
    """Complete an operation; return the model of its body in a list, unless that has no field."""
    operation["operationId"] = to_camel(route.name)
    if "HTTPValidationError" in str(operation["responses"].get("422")):
        del operation["responses"]["422"]
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _without_null(parameter["schema"])
    dependencies = (each.call for each in route.dependant.dependencies)
    models = [each.model for each in dependencies if isinstance(each, JSONBody | ForwardedBody)]
    bodies = [model for model in models if model.model_fields]
    for model in bodies:
        schema = {"$ref": _REF_TEMPLATE.format(model=model.__name__)}
        operation["requestBody"] = {
            "required": issubclass(model, PatchModel)
            or any(field.is_required() for field in model.model_fields.values()),
            "content": {"application/json": {"schema": schema}},
        }
    return bodies


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of an optional parameter: a query string can leave it out, but has no null."""
    members = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if not members:
        return schema
    others = {name: value for name, value in schema.items() if name != "anyOf"}
    return others | (members[0] if len(members) == 1 else {"anyOf": members})


def _schemas(models: Iterable[type[BaseModel]], mode: Mode) -> dict[str, Any]:
    _, schemas = models_json_schema([(model, mode) for model in models], ref_template=_REF_TEMPLATE)
    definitions: dict[str, Any] = schemas["$defs"]
    return definitions
