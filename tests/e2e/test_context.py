"""What the model is shown: the session's own conversation, and of no other."""

from uuid import uuid4

import pytest
from stack.model_server import KEY, MODEL, TOKEN, ModelServer
from stack.person import Person

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_model_server_is_asked_with_its_key_and_the_assistants_instructions(
    ada: Person, model_server: ModelServer
) -> None:
    session = await ada.start_session(assistant_id="tutor")
    await ada.ask(session, text := f"Hello {uuid4()}")
    [[instructions, question]] = model_server.asked_with(text)
    assert instructions["role"] == "system"
    assert "Tutor" in instructions["content"]
    assert question == {"role": "user", "content": text}
    assert model_server.authorizations == {f"Bearer {KEY}"}
    assert {asked["model"] for asked in model_server.asked} == {MODEL}


async def test_earlier_messages_of_the_session_and_of_no_other_reach_the_model(
    ada: Person, model_server: ModelServer
) -> None:
    session, other = await ada.start_session(), await ada.start_session()
    first, elsewhere = f"I am Ada {uuid4()}", f"A secret {uuid4()}"
    await ada.ask(session, first)
    await ada.ask(other, elsewhere)
    for place in range(3):
        await ada.ask(session, f"Question {place} {session}")

    *_, third = [model_server.asked_with(f"Question {n} {session}") for n in range(3)]
    [[_, *context]] = third
    said = [first, *(f"Question {n} {session}" for n in range(3))]
    assert [message["content"] for message in context if message["role"] == "user"] == said
    replied = [message["content"] for message in context if message["role"] == "assistant"]
    assert replied == [f"Answer to: {text}" for text in said[:-1]]
    assert [message["role"] for message in context] == ["user", "assistant"] * 3 + ["user"]


async def test_the_text_of_a_failed_reply_is_part_of_the_context(
    ada: Person, model_server: ModelServer
) -> None:
    session = await ada.start_session()
    await ada.ask(session, "[die 2]")
    await ada.ask(session, text := f"Go on {uuid4()}")
    [[_, *context]] = model_server.asked_with(text)
    assert [message["content"] for message in context] == ["[die 2]", 2 * TOKEN, text]
