"""A client that leaves and processes that are killed in the middle of one turn."""

import asyncio
from uuid import uuid4

import httpx2
import pytest
from stack.model_server import TOKEN, ModelServer
from stack.parley import Stack
from stack.person import Person

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

# After which a reply whose process is lost has ended, as DESIGN has it.
PROMISED_SECONDS = 15


async def test_a_client_that_leaves_finds_the_whole_reply_in_history(
    ada: Person, model_server: ModelServer
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


async def test_a_client_that_stops_waiting_for_json_loses_nothing_either(
    ada: Person, model_server: ModelServer
) -> None:
    session, text = await ada.start_session(), f"[gate 3] {uuid4()}"
    waiting = asyncio.create_task(ada.ask(session, text))
    await eventually(lambda: model_server.asked_with(text), within=20)
    waiting.cancel()
    await asyncio.wait([waiting])
    model_server.open_gate(text)
    # Started, asked, requested, answered.
    _, reply = await ada.messages(session, 4)
    assert (reply["status"], reply["content"]) == ("completed", 6 * TOKEN)


async def test_a_session_service_killed_between_commit_and_reply_repeats_nothing(
    ada: Person, model_server: ModelServer, stack: Stack
) -> None:
    session, key = await ada.start_session(), str(uuid4())
    async with ada.stream(session, text := f"[gate 3] {uuid4()}", key) as turn:
        started = await turn.started()
        await turn.until_text(3 * len(TOKEN))
        stack.kill("session")
        model_server.open_gate(text)
        # The reply is made while session is away, and committed when it is back.
        *_, end = await turn.events()

    assert end["type"] == "reply.completed"
    again = await ada.ask_until_answered(session, text, key)
    assert again["id"] == started["turn_id"]
    assert again["reply"] == end["message"]
    assert again["reply"]["content"] == 6 * TOKEN
    assert len(model_server.asked_with(text)) == 1
    assert await ada.messages(session, again["version"]) == [again["message"], again["reply"]]


async def test_a_retry_while_the_killed_session_service_comes_back_gives_the_first_answer(
    ada: Person, model_server: ModelServer, stack: Stack
) -> None:
    session, key, text = await ada.start_session(), str(uuid4()), f"[gate 3] {uuid4()}"
    async with ada.stream(session, text, key) as turn:
        started = await turn.started()
        await turn.until_text(1)
        stack.kill("session")
    # This client has no answer, and knows nothing but its key.
    model_server.open_gate(text)
    again = await ada.ask_until_answered(session, text, key)
    assert (again["id"], again["status"]) == (started["turn_id"], "completed")
    assert again["message"]["id"] == started["message_id"]
    assert await ada.messages(session, again["version"]) == [again["message"], again["reply"]]


async def test_a_killed_gateway_loses_no_reply(
    ada: Person, model_server: ModelServer, stack: Stack
) -> None:
    session, key, text = await ada.start_session(), str(uuid4()), f"[gate 3] {uuid4()}"
    async with ada.stream(session, text, key) as turn:
        started = await turn.started()
        await turn.until_text(len(TOKEN))
        stack.kill("gateway")
        with pytest.raises(httpx2.TransportError):
            await turn.events()
    model_server.open_gate(text)
    again = await ada.ask_until_answered(session, text, key)
    assert (again["id"], again["status"]) == (started["turn_id"], "completed")
    assert again["reply"]["content"] == 6 * TOKEN
    assert len(model_server.asked_with(text)) == 1


async def test_a_killed_inference_ends_the_reply_as_interrupted_and_the_chat_goes_on(
    ada: Person, stack: Stack
) -> None:
    session, text = await ada.start_session(), f"[gate 3] {uuid4()}"
    async with ada.stream(session, text) as turn:
        started = await turn.started()
        await turn.until_text(3 * len(TOKEN))
        stack.kill("inference")
        async with asyncio.timeout(PROMISED_SECONDS):
            *_, end = await turn.events()

    assert end["type"] == "reply.failed"
    assert end["turn_id"] == started["turn_id"]
    assert end["error"]["code"] == "interrupted"
    next_turn = await ada.ask(session, "Still there?")
    assert next_turn["status"] == "completed"
    messages = await ada.messages(session, next_turn["version"])
    assert [message["status"] for message in messages[:2]] == ["completed", "failed"]
    await stack.until_ready()


async def test_a_killed_history_answers_again_after_a_moment(ada: Person, stack: Stack) -> None:
    session = await ada.start_session()
    turn = await ada.ask(session, "Remember me")
    stack.kill("history-serve")
    # Chat does not need it.
    second = await ada.ask(session, "And me")
    messages = await ada.messages(session, second["version"])
    assert messages[:2] == [turn["message"], turn["reply"]]
    assert messages[2:] == [second["message"], second["reply"]]


async def test_a_killed_redis_is_not_missed(ada: Person, stack: Stack) -> None:
    session = await ada.start_session()
    stack.kill("redis")
    assert (await ada.ask(session, "Hello"))["status"] == "completed"
    await stack.until_ready()
