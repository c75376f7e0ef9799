"""Rejected requests: status, error shape, and no side effect."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest
from e2e_support.model_server import ModelServer
from e2e_support.stack import Stack
from e2e_support.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")

KIB = 1024


def assert_rejected(
    answer: httpx2.Response, status: int, code: str, param: str | None = None
) -> None:
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"]
    assert (error["code"], error["param"]) == (code, param)
    assert answer.headers["x-request-id"]


async def test_a_message_of_256_kib_is_accepted_and_a_longer_one_is_rejected(
    ada: User, model_server: ModelServer
) -> None:
    session = await ada.start_session()
    longest = "ä" * (128 * KIB)
    assert_rejected(await ada.submit(session, longest + "a"), 413, "message_too_large", "content")
    turn = await ada.send(session, longest)
    assert turn["message"]["content"] == longest
    assert await ada.messages(session, turn["version"]) == [turn["message"], turn["reply"]]
    assert not model_server.prompts_with(longest + "a")


async def test_an_oversized_body_is_rejected(ada: User) -> None:
    session = await ada.start_session()
    answer = await ada.submit(session, "a" * (8 * 1024 * KIB))
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_an_unknown_assistant_is_not_found(ada: User) -> None:
    nobody = {"assistant_id": "nobody"}
    for path in ("/sessions", "/switch-assistant"):
        answer = await ada.request("POST", path, json=nobody)
        assert_rejected(answer, 404, "assistant_not_found", "assistant_id")


async def test_a_session_of_another_user_looks_like_one_that_does_not_exist(
    ada: User, stack: Stack
) -> None:
    session = await ada.start_session()
    turn = await ada.send(session, "Mine alone")
    await ada.messages(session, turn["version"])
    same_name = stack.user("eve", tenant="elsewhere")
    for eve in (stack.user(f"eve-{uuid4()}"), same_name):
        for unreachable in (session, str(uuid4())):
            answers = [
                await eve.request("GET", f"/sessions/{unreachable}"),
                await eve.request("GET", f"/history/{unreachable}"),
                await eve.request("GET", f"/history/{unreachable}", params={"min_version": 99}),
                await eve.submit(unreachable, "Yours?"),
            ]
            for answer in answers:
                assert_rejected(answer, 404, "session_not_found")
    assert await ada.messages(session, turn["version"]) == [turn["message"], turn["reply"]]


async def test_one_user_name_in_two_tenants_is_two_users(stack: Stack) -> None:
    name = f"ada-{uuid4()}"
    session = await stack.user(name, tenant="north").start_session()
    answer = await stack.user(name, tenant="south").request("GET", f"/sessions/{session}")
    assert_rejected(answer, 404, "session_not_found")


async def test_a_session_id_taken_by_another_user_is_unavailable(ada: User, stack: Stack) -> None:
    session = await ada.start_session()
    answer = await stack.user(f"eve-{uuid4()}").request("POST", "/sessions", json={"id": session})
    assert_rejected(answer, 409, "session_id_unavailable", "id")
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/sessions", b"{", None),
        ("/sessions", b"\xff\xfe", None),
        ("/sessions", b"[]", None),
        ("/sessions", b'{"color": "purple"}', "color"),
        ("/sessions", b'{"id": "not-a-uuid"}', "id"),
        ("/sessions", b'{"metadata": {"k": 1}}', "metadata.k"),
        ("/messages", b"{", None),
        ("/messages", b"{}", "content"),
        ("/messages", b'{"content": ""}', "content"),
        ("/messages", b'{"content": 7}', "content"),
        ("/messages", b'{"content": "Hi", "colour": "purple"}', "colour"),
        ("/messages", b'{"content": "half a pair: \\ud800"}', None),
        ("/switch-assistant", b"{}", "assistant_id"),
    ],
)
async def test_an_invalid_body_is_rejected_and_changes_nothing(
    ada: User, path: str, body: bytes, param: str | None
) -> None:
    session = await ada.start_session()
    path = f"/sessions/{session}/messages" if path == "/messages" else path
    answer = await ada.request("POST", path, content=body, headers=_JSON)
    assert answer.status_code == 400, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert param is None or error["param"] == param
    assert "purple" not in answer.text
    assert (await ada.get(f"/sessions/{session}"))["version"] == 1


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/sessions?assistant_id=%00", "assistant_id"),
        ("/assistants?after=%00", "after"),
        ("/usage?model=a%00b", "model"),
        ("/usage?assistant_id=%00", "assistant_id"),
        ("/usage?group_by=model&after=%00", "after"),
    ],
)
async def test_a_control_character_in_a_query_is_rejected(ada: User, path: str, param: str) -> None:
    assert_rejected(await ada.request("GET", path), 400, "invalid_request", param)


@pytest.mark.parametrize(
    ("method", "path", "body", "param"),
    [
        ("POST", "/sessions", {"assistant_id": "help\0er"}, "assistant_id"),
        ("POST", "/switch-assistant", {"assistant_id": "\0"}, "assistant_id"),
        ("POST", "/search", {"query": "word", "assistant_id": "\0"}, "assistant_id"),
        ("POST", "/assistants", {"id": "nul", "model": "a\0b"}, "model"),
        ("PATCH", "/assistants/helper", {"model": "\0"}, "model"),
        ("PATCH", "/assistants/helper", {"model": "line break\n"}, "model"),
    ],
)
async def test_a_control_character_in_a_name_is_rejected(
    stack: Stack, method: str, path: str, body: dict[str, Any], param: str
) -> None:
    admin = stack.user(f"ada-{uuid4()}", scope="assistants:write")
    if method == "POST" and path == "/assistants":
        body = {"name": "Nul", "instructions": "Be kind."} | body
    answer = await admin.request(method, path, json=body)
    assert_rejected(answer, 400, "invalid_request", param)


async def test_an_unknown_path_has_the_error_shape(ada: User) -> None:
    assert_rejected(await ada.request("GET", "/nothing-here"), 404, "not_found")
    assert_rejected(await ada.request("PUT", "/assistants"), 405, "method_not_allowed")


async def test_a_second_message_is_rejected_until_the_first_turn_has_ended(
    ada: User, model_server: ModelServer
) -> None:
    session = await ada.start_session()
    async with ada.stream(session, text := f"[gate 2] {uuid4()}") as turn:
        await turn.until_text(1)
        answer = await ada.submit(session, "And another thing")
        assert_rejected(answer, 409, "turn_open")
        assert answer.headers["x-should-retry"] == "false"
        model_server.open_gate(text)
        *_, end = await turn.events()
    assert end["type"] == "reply.completed"
    second = await ada.send(session, "And another thing")
    messages = await ada.messages(session, second["version"])
    contents = [message["content"] for message in messages if message["role"] == "user"]
    assert contents == [text, "And another thing"]


_JSON = {"content-type": "application/json"}
