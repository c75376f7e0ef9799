"""Clients that disconnect and processes that are killed in the middle of a turn."""

import asyncio
from uuid import uuid4

import httpx2
import pytest
from e2e_support.model_server import TOKEN, ModelServer
from e2e_support.stack import Stack
from e2e_support.user import User

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

# The limit for ending a reply whose process was lost: its lease plus the sweeper's interval.
MAX_SECONDS = 15


async def test_a_client_that_disconnects_finds_the_whole_reply_in_history(
    ada: User, model_server: ModelServer
) -> None:
    session = await ada.start_session()
    async with ada.stream(session, text := f"[gate 3] {uuid4()}") as turn:
        started = await turn.started()
        await turn.until_text(len(TOKEN))
    model_server.open_gate(text)
    question, reply = await ada.messages(session, started["version"] + 1)
    assert question["content"] == text
    assert reply["id"] == started["reply_id"]
    assert (reply["status"], reply["content"]) == ("completed", 6 * TOKEN)


async def test_a_client_that_stops_waiting_for_json_finds_the_whole_reply_in_history(
    ada: User, model_server: ModelServer
) -> None:
    session, text = await ada.start_session(), f"[gate 3] {uuid4()}"
    waiting = asyncio.create_task(ada.send(session, text))
    await eventually(lambda: model_server.prompts_with(text))
    waiting.cancel()
    await asyncio.wait([waiting])
    model_server.open_gate(text)
    # Four events: session started, message submitted, reply requested, reply completed.
    _, reply = await ada.messages(session, 4)
    assert (reply["status"], reply["content"]) == ("completed", 6 * TOKEN)


async def test_a_session_service_killed_during_a_reply_repeats_nothing(
    ada: User, model_server: ModelServer, stack: Stack
) -> None:
    session, key = await ada.start_session(), str(uuid4())
    async with ada.stream(session, text := f"[gate 3] {uuid4()}", key) as turn:
        started = await turn.started()
        await turn.until_text(3 * len(TOKEN))
        stack.kill("session")
        model_server.open_gate(text)
        # The reply is generated while session is down, and committed after its restart.
        *_, end = await turn.events()

    assert end["type"] == "reply.completed"
    again = await ada.send_with_retries(session, text, key)
    assert again["id"] == started["turn_id"]
    assert again["reply"] == end["message"]
    assert again["reply"]["content"] == 6 * TOKEN
    assert len(model_server.prompts_with(text)) == 1
    assert await ada.messages(session, again["version"]) == [again["message"], again["reply"]]


async def test_a_retry_during_a_session_service_restart_returns_the_first_response(
    ada: User, model_server: ModelServer, stack: Stack
) -> None:
    session, key, text = await ada.start_session(), str(uuid4()), f"[gate 3] {uuid4()}"
    async with ada.stream(session, text, key) as turn:
        started = await turn.started()
        await turn.until_text(1)
        stack.kill("session")
    # The client received no response; it has only its idempotency key.
    model_server.open_gate(text)
    again = await ada.send_with_retries(session, text, key)
    assert (again["id"], again["status"]) == (started["turn_id"], "completed")
    assert again["message"]["id"] == started["message_id"]
    assert await ada.messages(session, again["version"]) == [again["message"], again["reply"]]


async def test_a_killed_gateway_loses_no_reply(
    ada: User, model_server: ModelServer, stack: Stack
) -> None:
    session, key, text = await ada.start_session(), str(uuid4()), f"[gate 3] {uuid4()}"
    async with ada.stream(session, text, key) as turn:
        started = await turn.started()
        await turn.until_text(len(TOKEN))
        stack.kill("gateway")
        with pytest.raises(httpx2.TransportError):
            await turn.events()
    model_server.open_gate(text)
    again = await ada.send_with_retries(session, text, key)
    assert (again["id"], again["status"]) == (started["turn_id"], "completed")
    assert again["reply"]["content"] == 6 * TOKEN
    assert len(model_server.prompts_with(text)) == 1


async def test_a_killed_inference_process_fails_its_reply_as_interrupted(
    ada: User, stack: Stack
) -> None:
    session, text = await ada.start_session(), f"[gate 3] {uuid4()}"
    async with ada.stream(session, text) as turn:
        started = await turn.started()
        await turn.until_text(3 * len(TOKEN))
        stack.kill("inference")
        async with asyncio.timeout(MAX_SECONDS):
            *_, end = await turn.events()

    assert end["type"] == "reply.failed"
    assert end["turn_id"] == started["turn_id"]
    assert end["error"]["code"] == "interrupted"
    next_turn = await ada.send(session, "Still there?")
    assert next_turn["status"] == "completed"
    messages = await ada.messages(session, next_turn["version"])
    assert [message["status"] for message in messages[:2]] == ["completed", "failed"]
    await stack.wait_until_ready()


async def test_a_killed_history_service_answers_again_after_its_restart(
    ada: User, stack: Stack
) -> None:
    session = await ada.start_session()
    turn = await ada.send(session, "Remember me")
    stack.kill("history-serve")
    # Submitting messages does not need history.
    second = await ada.send(session, "And me")
    messages = await ada.messages(session, second["version"])
    assert messages[:2] == [turn["message"], turn["reply"]]
    assert messages[2:] == [second["message"], second["reply"]]


async def test_a_killed_redis_fails_no_turn(ada: User, stack: Stack) -> None:
    session = await ada.start_session()
    stack.kill("redis")
    assert (await ada.send(session, "Hello"))["status"] == "completed"
    await stack.wait_until_ready()
