"""Routing: 404, 405 with the allowed methods, and HEAD."""

from typing import Any

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.history import History

from parley_testing.fake_service import raw
from parley_testing.session_service import FakeSessionService

SESSION = f"/v1/sessions/{SESSION_ID}"
MESSAGES = f"{SESSION}/messages"
HISTORY = f"/v1/history/{SESSION_ID}"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/sessions/", 404, "not_found"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("GET", MESSAGES, 405, "method_not_allowed"),
    ],
)
async def test_unknown_paths_and_methods_have_the_error_shape(
    gateway: Gateway, method: Any, path: Any, status: Any, code: Any
) -> None:
    assert await gateway.expect_error(method, path) == (status, code, None)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/sessions", {"GET", "HEAD", "POST", "DELETE"}),
        ("POST", SESSION, {"GET", "HEAD", "PATCH", "DELETE"}),
        ("DELETE", HISTORY, {"GET", "HEAD", "POST"}),
        ("GET", "/v1/search", {"POST"}),
        ("POST", "/docs/assets/swagger-ui.css", {"GET", "HEAD"}),
        ("OPTIONS", "/v1/assistants", {"GET", "HEAD", "POST"}),
    ],
)
async def test_a_405_lists_the_allowed_methods(
    gateway: Gateway, method: Any, path: Any, allowed: Any
) -> None:
    async with gateway.request(method, path) as answer:
        assert answer.status == 405
        assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    ("method", "path", "names"),
    [
        ("GET", "/v1/nothing", ["GET /v1/nothing"]),
        ("POST", "/v1/" + "x" * 5_000, ["POST /v1/xxx"]),
        ("POST", "/v1/responses", ["POST /v1/responses", "/v1/chat/completions", "session_id"]),
        ("POST", "/v1/completions", ["POST /v1/completions", "/v1/chat/completions"]),
        ("POST", "/v1/embeddings", ["POST /v1/embeddings", "/v1/chat/completions", "/v1/models"]),
        ("POST", "/v1/files", ["POST /v1/files", "/v1/models"]),
        ("GET", "/v1/threads/thread_1/messages", ["/v1/sessions/{session_id}/messages"]),
        ("POST", "/embeddings", ["POST /embeddings", "/v1/chat/completions"]),
        ("POST", "/chat/completions", ["Did you mean /v1/chat/completions?"]),
        ("GET", "/models", ["Did you mean /v1/models?"]),
        ("GET", "/v1/v1/models", ["Did you mean /v1/models?"]),
        ("GET", "/v1/sessions/", ["Did you mean /v1/sessions?"]),
        ("GET", "//v1//sessions", ["Did you mean /v1/sessions?"]),
        ("DELETE", "/v1/models", ["DELETE", "/v1/models", "GET"]),
    ],
)
async def test_the_error_for_an_unknown_route_names_the_known_ones(
    gateway: Gateway, method: Any, path: Any, names: Any
) -> None:
    async with gateway.request(method, path) as answer:
        message = (await answer.json())["error"]["message"]
    assert answer.status in (404, 405)
    assert all(name in message for name in names), message
    assert len(message) < 500


@pytest.mark.parametrize("path", [HISTORY, f"{SESSION}/export", "/v1/sessions", "/v1/assistants"])
async def test_head_is_answered_like_get_without_a_body(
    gateway: Gateway, session: FakeSessionService, history: History, path: Any
) -> None:
    session.answers.append(raw(b"{}"))
    history.answers.append(raw(b"{}"))
    async with gateway.request("HEAD", path) as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert await answer.read() == b""
