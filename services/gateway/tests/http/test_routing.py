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
        ("OPTIONS", "/v1/assistants", {"GET", "HEAD", "POST"}),
    ],
)
async def test_a_405_lists_the_allowed_methods(
    gateway: Gateway, method: Any, path: Any, allowed: Any
) -> None:
    async with gateway.request(method, path) as answer:
        assert answer.status == 405
        assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", [HISTORY, f"{SESSION}/export", "/v1/sessions", "/v1/assistants"])
async def test_head_is_answered_like_get_without_a_body(
    gateway: Gateway, session: FakeSessionService, history: History, path: Any
) -> None:
    session.answers.append(raw(b"{}"))
    history.answers.append(raw(b"{}"))
    async with gateway.request("HEAD", path) as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert await answer.read() == b""
