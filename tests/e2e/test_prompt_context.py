"""The prompt sent to the model server: instructions and the messages of one session."""

from uuid import uuid4

import pytest
from e2e_support.model_server import API_KEY, MODEL, TOKEN, ModelServer
from e2e_support.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_prompt_carries_the_api_key_and_the_assistants_instructions(
    ada: User, model_server: ModelServer
) -> None:
    session = await ada.start_session(assistant_id="tutor")
    await ada.send(session, text := f"Hello {uuid4()}")
    [[instructions, question]] = model_server.prompts_with(text)
    assert instructions["role"] == "system"
    assert "Tutor" in instructions["content"]
    assert question == {"role": "user", "content": text}
    assert model_server.authorizations_with(text) == [f"Bearer {API_KEY}"]
    [model] = [each["model"] for each in model_server.requests if question in each["messages"]]
    assert model == MODEL


async def test_a_prompt_contains_earlier_messages_of_its_session_only(
    ada: User, model_server: ModelServer
) -> None:
    session, other = await ada.start_session(), await ada.start_session()
    first, elsewhere = f"I am Ada {uuid4()}", f"A secret {uuid4()}"
    await ada.send(session, first)
    await ada.send(other, elsewhere)
    for place in range(3):
        await ada.send(session, f"Question {place} {session}")

    *_, third = [model_server.prompts_with(f"Question {n} {session}") for n in range(3)]
    [[_, *context]] = third
    said = [first, *(f"Question {n} {session}" for n in range(3))]
    assert [message["content"] for message in context if message["role"] == "user"] == said
    replied = [message["content"] for message in context if message["role"] == "assistant"]
    assert replied == [f"Answer to: {text}" for text in said[:-1]]
    assert [message["role"] for message in context] == ["user", "assistant"] * 3 + ["user"]


async def test_a_prompt_contains_the_partial_text_of_a_failed_reply(
    ada: User, model_server: ModelServer
) -> None:
    session = await ada.start_session()
    await ada.send(session, "[die 2]")
    await ada.send(session, text := f"Go on {uuid4()}")
    [[_, *context]] = model_server.prompts_with(text)
    assert [message["content"] for message in context] == ["[die 2]", 2 * TOKEN, text]
