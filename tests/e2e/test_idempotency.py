"""A repeated Idempotency-Key returns the first response and executes nothing twice."""

import asyncio
from uuid import uuid4

import pytest
from e2e_support.model_server import TOKEN, ModelServer
from e2e_support.user import User

from parley_testing.event_stream import text_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_repeated_key_returns_the_first_response(
    ada: User, model_server: ModelServer
) -> None:
    session, key = await ada.start_session(), str(uuid4())
    first = await ada.send(session, text := f"Once {uuid4()}", key)
    again = await ada.send(session, text, key)
    assert again == first
    async with ada.stream(session, text, key) as turn:
        started, *deltas, end = await turn.events()
    assert started["turn_id"] == first["id"]
    assert text_of(deltas) == first["reply"]["content"]
    assert end["message"] == first["reply"]
    assert len(model_server.prompts_with(text)) == 1
    assert await ada.messages(session, first["version"]) == [first["message"], first["reply"]]


async def test_a_repeated_key_streams_the_running_reply_from_its_start(
    ada: User, model_server: ModelServer
) -> None:
    session, key = await ada.start_session(), str(uuid4())
    text = f"[gate 3] {uuid4()}"
    async with ada.stream(session, text, key) as first:
        started = await first.started()
        await first.until_text(3 * len(TOKEN))
        async with ada.stream(session, text, key) as again:
            assert await again.started() == started
            assert await again.until_text(3 * len(TOKEN)) == 3 * TOKEN
            model_server.open_gate(text)
            *_, end = await again.events()
            assert end == (await first.events())[-1]
    assert end["type"] == "reply.completed"
    assert len(model_server.prompts_with(text)) == 1


async def test_concurrent_requests_with_one_key_create_one_message(
    ada: User, model_server: ModelServer
) -> None:
    session, key, text = await ada.start_session(), str(uuid4()), f"At once {uuid4()}"
    turns = await asyncio.gather(*(ada.send(session, text, key) for _ in range(8)))
    assert all(turn == turns[0] for turn in turns)
    assert len(model_server.prompts_with(text)) == 1
    assert len(await ada.messages(session, turns[0]["version"])) == 2


async def test_a_key_reused_with_another_body_is_rejected(ada: User) -> None:
    session, key = await ada.start_session(), str(uuid4())
    turn = await ada.send(session, "This", key)
    answer = await ada.submit(session, "That", key)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "idempotency_key_reused"
    assert await ada.messages(session, turn["version"]) == [turn["message"], turn["reply"]]


async def test_starting_a_session_twice_with_one_key_creates_one_session(ada: User) -> None:
    key = str(uuid4())
    first = await ada.post("/sessions", {"assistant_id": "coder"}, key)
    assert await ada.post("/sessions", {"assistant_id": "coder"}, key) == first
    answer = await ada.request("POST", "/sessions", json={"assistant_id": "tutor"}, key=key)
    assert answer.status_code == 422


async def test_a_rejected_request_does_not_consume_its_key(ada: User) -> None:
    session, key = await ada.start_session(), str(uuid4())
    assert (await ada.submit(session, "", key)).status_code == 400
    turn = await ada.send(session, "Now with words", key)
    assert turn["status"] == "completed"
