"""The OpenAPI document says what the routes do; each test's client checks its statuses too."""

import json
import re

import pytest
from starlette.routing import Route

from parley_gateway.api.openapi.document import document
from parley_gateway.api.openapi.operations import OPERATIONS

PAGES = {"/openapi.json", "/docs", "/docs/oauth2-redirect"}


async def test_the_document_and_its_page_are_there_for_anyone(gateway):
    status, served = await gateway.get("/openapi.json", bearer="")
    assert (status, served) == (200, document())
    assert served["openapi"].startswith("3.1.")
    async with gateway.request("GET", "/docs", bearer="") as page:
        assert page.status == 200
        assert "/openapi.json" in await page.text()


async def test_every_route_is_described_and_nothing_else(gateway):
    routes = {
        (method.lower(), route.path_format)
        for route in gateway.app.routes
        if isinstance(route, Route) and route.path not in PAGES
        for method in route.methods - {"HEAD"}
    }
    described = {
        (method, path) for path, methods in document()["paths"].items() for method in methods
    }
    assert described == routes


def test_every_reference_leads_somewhere():
    references = re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(document()))
    schemas = document()["components"]["schemas"]
    assert set(references) <= set(schemas)
    assert {"TurnStarted", "ReplyDelta", "ReplyEnded", "ErrorResponse"} <= set(schemas)


def test_operations_have_names_of_their_own():
    names = [operation.name for operation in OPERATIONS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_operation_tells_its_errors_its_security_and_its_parameters(operation):
    node = document()["paths"][operation.path][operation.method]
    statuses = set(node["responses"])
    assert (node.get("security") == []) == operation.public
    assert operation.public or {"401", "500", "503"} <= statuses
    if operation.method == "post":
        assert {"400", "408", "413", "422"} <= statuses
        assert "Idempotency-Key" in [one["name"] for one in node["parameters"]]
    if "{session_id}" in operation.path:
        assert {"400", "404"} <= statuses
        assert "session_id" in [one["name"] for one in node["parameters"]]
    for status, response in node["responses"].items():
        assert response["description"]
        is_error = int(status) >= 400 and not operation.public
        if operation.resumes and not is_error:
            # A stream, or nothing after its end.
            assert response.get("content", {}).keys() == (
                {"text/event-stream"} if status == "200" else set()
            )
            continue
        if status == "304":
            assert "content" not in response
            continue
        schema = response["content"]["application/json"]["schema"]
        assert schema["$ref"].endswith("/ErrorResponse") == is_error


def test_the_bounds_of_what_clients_send_are_in_the_document():
    schemas = document()["components"]["schemas"]
    start = schemas["StartSession"]["properties"]
    assert start["title"]["anyOf"][0]["maxLength"] == 200
    assert start["metadata"]["anyOf"][0]["maxProperties"] == 16
    assert schemas["SubmitMessage"]["additionalProperties"] is False
    assert schemas["SubmitMessage"]["required"] == ["content"]
    parameters = document()["paths"]["/v1/history/{session_id}"]["get"]["parameters"]
    limit = next(one["schema"] for one in parameters if one["name"] == "limit")
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, 100, 20)


def test_the_stream_is_described_by_a_stream():
    submit = document()["paths"]["/v1/sessions/{session_id}/messages"]["post"]
    example = submit["responses"]["200"]["content"]["text/event-stream"]["example"]
    assert example.startswith("id: 0\ndata: ")
    assert "\n\nid: end\ndata: " in example
