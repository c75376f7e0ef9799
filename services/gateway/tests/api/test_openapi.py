"""OpenAPI document: complete, and consistent with the routes."""

import json
import re
from typing import Any

import msgspec
from gateway_fakes.gateway import Gateway
from starlette.routing import Route

from parley_contracts.api_models import Message, UsageShape
from parley_contracts.session_api.imports import (
    ExportedUsage,
    ImportedMessage,
    ImportMessagesRequest,
)
from parley_gateway.api.page_routes import page_routes
from parley_gateway.page.page_files import PageFiles
from parley_gateway.schemas.responses import SessionExport

PAGES = {"/openapi.json", "/docs", "/docs/start.js"}
PAGE_PATHS = {route.path for route in page_routes(PageFiles(None), public_docs=True)}
PUBLIC = {"isAlive", "isReady", "readClientConfig"}


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


async def test_the_document_needs_no_token(gateway: Gateway) -> None:
    status, served = await gateway.get("/openapi.json", bearer="")
    assert (status, served) == (200, gateway.app.api.openapi())
    assert served["openapi"].startswith("3.1.")


async def test_every_route_is_described_and_nothing_else(gateway: Gateway) -> None:
    routes = {
        (method.lower(), route.path_format)
        for route in gateway.app.api.routes
        if isinstance(route, Route) and route.path not in PAGES | PAGE_PATHS
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = operations(gateway.app.api.openapi())
    assert {(method, path) for method, path, _ in described} == routes


async def test_every_reference_resolves(gateway: Gateway) -> None:
    document = gateway.app.api.openapi()
    references = re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(document))
    schemas = document["components"]["schemas"]
    assert set(references) <= set(schemas)
    assert {"TurnStarted", "ReplyDelta", "ReplyEnded", "ErrorResponse"} <= set(schemas)
    assert not {"ValidationError", "HTTPValidationError"} & set(schemas)


async def test_operation_ids_are_unique(gateway: Gateway) -> None:
    ids = [each["operationId"] for _, _, each in operations(gateway.app.api.openapi())]
    assert len(set(ids)) == len(ids)


async def test_every_operation_describes_its_errors_security_and_parameters(
    gateway: Gateway,
) -> None:
    for method, path, operation in operations(gateway.app.api.openapi()):
        name, statuses = operation["operationId"], set(operation["responses"])
        parameters = [each["name"] for each in operation.get("parameters", ())]
        is_public = name in PUBLIC
        assert ("security" not in operation) == is_public, name
        assert is_public or {"401", "500", "503"} <= statuses, name
        if method == "post":
            assert {"400", "408", "413", "422"} <= statuses, name
            assert "Idempotency-Key" in parameters, name
        if "{session_id}" in path:
            assert {"400", "404"} <= statuses, name
            assert "session_id" in parameters, name


async def test_every_response_has_a_schema_and_errors_have_the_one_shape(gateway: Gateway) -> None:
    for _, _, operation in operations(gateway.app.api.openapi()):
        name = operation["operationId"]
        for status, response in operation["responses"].items():
            assert response["description"], name
            content = response.get("content", {})
            is_error = int(status) >= 400 and name not in PUBLIC
            if name == "streamTurn" and not is_error:
                assert content.keys() == ({"text/event-stream"} if status == "200" else set())
            elif status == "304":
                assert not content
            else:
                schema = content["application/json"]["schema"]
                assert schema["$ref"].endswith("/ErrorResponse") == is_error, name


async def test_the_bounds_of_request_fields_are_in_the_document(gateway: Gateway) -> None:
    document = gateway.app.api.openapi()
    schemas = document["components"]["schemas"]
    start = schemas["StartSession"]["properties"]
    assert start["title"]["anyOf"][0]["maxLength"] == 200
    assert start["metadata"]["anyOf"][0]["maxProperties"] == 16
    assert schemas["SubmitMessage"]["additionalProperties"] is False
    assert schemas["SubmitMessage"]["required"] == ["content"]
    parameters = document["paths"]["/v1/history/{session_id}"]["get"]["parameters"]
    limit = next(each["schema"] for each in parameters if each["name"] == "limit")
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, 100, 20)


async def test_an_import_is_described_as_session_accepts_it_with_every_field_of_a_message(
    gateway: Gateway,
) -> None:
    schemas = gateway.app.api.openapi()["components"]["schemas"]
    for schema, struct in (
        ("ImportMessages", ImportMessagesRequest),
        ("ImportedMessage", ImportedMessage),
        ("ImportedUsage", ExportedUsage),
    ):
        fields = {field.name: field.required for field in msgspec.structs.fields(struct)}
        described = schemas[schema]
        assert set(described["properties"]) == set(fields)
        required = {name for name, is_required in fields.items() if is_required}
        assert set(described["required"]) == required
        assert described["additionalProperties"] is False
    assert set(schemas["ImportedMessage"]["properties"]) == set(Message.model_fields)
    assert set(schemas["ImportedUsage"]["properties"]) == set(UsageShape.model_fields)
    assert set(SessionExport.model_fields) <= set(schemas["ImportMessages"]["properties"])


async def test_a_stream_names_the_schemas_of_its_events(gateway: Gateway) -> None:
    document = gateway.app.api.openapi()
    turn_events = {"TurnStarted", "ReplyDelta", "ReplyEnded"}
    streams = {
        "submitMessage": turn_events,
        "regenerateReply": turn_events,
        "streamTurn": turn_events,
        "createChatCompletion": {"ChatCompletionChunk", "ErrorResponse"},
    }
    for _, _, operation in operations(document):
        content = operation["responses"].get("200", {}).get("content", {})
        assert ("text/event-stream" in content) == (operation["operationId"] in streams)
        if stream := content.get("text/event-stream"):
            data = json.dumps(stream["itemSchema"]["properties"]["data"])
            assert '"contentMediaType": "application/json"' in data
            schemas = re.findall(r"schemas/(\w+)", data)
            assert set(schemas) == streams[operation["operationId"]]


async def test_the_document_names_its_server(gateway: Gateway) -> None:
    assert [server["url"] for server in gateway.app.api.openapi()["servers"]] == ["/"]


async def test_rules_among_parameters_are_stated(gateway: Gateway) -> None:
    document = gateway.app.api.openapi()
    described = {
        (path, parameter["name"]): parameter.get("description", "")
        for _, path, operation in operations(document)
        for parameter in operation.get("parameters", ())
    }
    history = "/v1/history/{session_id}"
    for path in (history, "/v1/sessions", "/v1/assistants"):
        for name in ("after", "before"):
            assert "not both" in described[path, name]
    assert "not in the future" in described[history, "as_of"]
    assert "`branches`" in described[history, "leaf"]
    assert "`leaf`" in described[history, "branches"]
    assert "not after `end`" in described["/v1/usage", "start"]
    assert "`group_by`" in described["/v1/usage", "after"]
    imported = document["components"]["schemas"]["ImportedMessage"]["properties"]
    assert "not in the future" in imported["created_at"]["description"]


async def test_no_parameter_is_null_and_a_change_needs_a_body(gateway: Gateway) -> None:
    for method, _, operation in operations(gateway.app.api.openapi()):
        for parameter in operation.get("parameters", ()):
            assert '"null"' not in json.dumps(parameter["schema"]), parameter
        if method == "patch":
            assert operation["requestBody"]["required"] is True


async def test_names_without_control_characters_are_stated(gateway: Gateway) -> None:
    document = gateway.app.api.openapi()
    start = document["components"]["schemas"]["StartSession"]["properties"]
    queries = {
        (path, parameter["name"]): json.dumps(parameter["schema"])
        for _, path, operation in operations(document)
        for parameter in operation.get("parameters", ())
    }
    named = [
        json.dumps(start["assistant_id"]),
        queries["/v1/usage", "user"],
        queries["/v1/usage", "model"],
        queries["/v1/assistants", "after"],
    ]
    for schema in named:
        [pattern] = re.findall(r'"pattern": ("[^"]+")', schema)
        assert re.search(json.loads(pattern), "a b ä")
        assert not re.search(json.loads(pattern), "a\tb")


async def test_the_example_of_a_stream_is_a_stream(gateway: Gateway) -> None:
    submit = gateway.app.api.openapi()["paths"]["/v1/sessions/{session_id}/messages"]["post"]
    example = submit["responses"]["200"]["content"]["text/event-stream"]["example"]
    assert example.startswith("data: ")
    assert "\nid: 0\n\ndata: " in example
    assert example.endswith("\nid: end\n\n")
