"""What is refused: the right status, the one error shape, and nothing changed by it."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest
from stack.model_server import ModelServer
from stack.parley import Stack
from stack.person import Person

pytestmark = pytest.mark.asyncio(loop_scope="session")

KIB = 1024


def refused(answer: httpx2.Response, status: int, code: str, param: str | None = None) -> None:
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"]
    assert (error["code"], error["param"]) == (code, param)
    assert answer.headers["x-request-id"]


async def test_a_message_of_256_kib_is_taken_and_one_byte_more_is_not(
    ada: Person, model_server: ModelServer
) -> None:
    session = await ada.start_session()
    most = "ä" * (128 * KIB)
    refused(await ada.submit(session, most + "a"), 413, "message_too_large", "content")
    turn = await ada.ask(session, most)
    assert turn["message"]["content"] == most
    assert await ada.messages(session, turn["version"]) == [turn["message"], turn["reply"]]
    assert not model_server.asked_with(most + "a")


async def test_a_body_far_too_large_is_refused(ada: Person) -> None:
    session = await ada.start_session()
    answer = await ada.submit(session, "a" * (8 * 1024 * KIB))
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_an_unknown_assistant_is_not_found(ada: Person) -> None:
    nobody = {"assistant_id": "nobody"}
    for path in ("/sessions", "/switch-assistant"):
        answer = await ada.call("POST", path, json=nobody)
        refused(answer, 404, "assistant_not_found", "assistant_id")


async def test_the_session_of_another_looks_like_one_that_never_was(
    ada: Person, stack: Stack
) -> None:
    session = await ada.start_session()
    turn = await ada.ask(session, "Mine alone")
    await ada.messages(session, turn["version"])
    same_name = stack.person("eve", tenant="elsewhere")
    for eve in (stack.person(f"eve-{uuid4()}"), same_name):
        for unreachable in (session, str(uuid4())):
            answers = [
                await eve.call("GET", f"/sessions/{unreachable}"),
                await eve.call("GET", f"/history/{unreachable}"),
                await eve.call("GET", f"/history/{unreachable}", params={"min_version": 99}),
                await eve.submit(unreachable, "Yours?"),
            ]
            for answer in answers:
                refused(answer, 404, "session_not_found")
    assert await ada.messages(session, turn["version"]) == [turn["message"], turn["reply"]]


async def test_one_name_in_two_tenants_is_two_people(stack: Stack) -> None:
    name = f"ada-{uuid4()}"
    session = await stack.person(name, tenant="north").start_session()
    answer = await stack.person(name, tenant="south").call("GET", f"/sessions/{session}")
    refused(answer, 404, "session_not_found")


async def test_a_session_id_that_another_took_is_not_available(ada: Person, stack: Stack) -> None:
    session = await ada.start_session()
    answer = await stack.person(f"eve-{uuid4()}").call("POST", "/sessions", json={"id": session})
    refused(answer, 409, "session_id_unavailable", "id")
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
async def test_a_body_that_makes_no_sense_is_refused_and_changes_nothing(
    ada: Person, path: str, body: bytes, param: str | None
) -> None:
    session = await ada.start_session()
    path = f"/sessions/{session}/messages" if path == "/messages" else path
    answer = await ada.call("POST", path, content=body, headers=_JSON)
    assert answer.status_code == 400, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert param is None or error["param"] == param
    assert "purple" not in answer.text
    assert (await ada.get(f"/sessions/{session}"))["version"] == 1


async def test_a_path_that_is_none_has_the_one_error_shape(ada: Person) -> None:
    refused(await ada.call("GET", "/nothing-here"), 404, "not_found")
    refused(await ada.call("PUT", "/assistants"), 405, "method_not_allowed")


async def test_a_second_message_waits_until_the_first_is_answered(
    ada: Person, model_server: ModelServer
) -> None:
    session = await ada.start_session()
    async with ada.stream(session, text := f"[gate 2] {uuid4()}") as turn:
        await turn.until_text(1)
        answer = await ada.submit(session, "And another thing")
        refused(answer, 409, "turn_open")
        assert answer.headers["x-should-retry"] == "false"
        model_server.open_gate(text)
        *_, end = await turn.events()
    assert end["type"] == "reply.completed"
    second = await ada.ask(session, "And another thing")
    messages = await ada.messages(session, second["version"])
    contents = [message["content"] for message in messages if message["role"] == "user"]
    assert contents == [text, "And another thing"]


_JSON = {"content-type": "application/json"}
