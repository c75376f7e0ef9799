"""A model whose server is away: another one answers, or the turn says what went wrong."""

from uuid import uuid4

import pytest
from stack.model_server import AWAY, COMPLETION_PRICE, MODEL, PROMPT_PRICE, UNSURE
from stack.parley import Stack
from stack.person import Person

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def admin(stack: Stack) -> Person:
    return stack.person("admin", tenant=f"tenant-{uuid4().hex}", scope="assistants:write")


async def asks(admin: Person, model: str) -> str:
    """A session whose assistant has that model."""
    about = {"id": model, "name": model, "instructions": "Answer."}
    await admin.post("/assistants", about | {"model": model})
    return await admin.start_session(assistant_id=model)


async def test_a_fallback_answers_for_a_model_whose_server_is_away(admin: Person) -> None:
    session = await asks(admin, UNSURE)
    turn = await admin.ask(session, "Hello")
    assert turn["reply"]["content"] == "Answer to: Hello"
    assert turn["reply"]["model"] == MODEL
    await admin.messages(session, turn["version"])
    # It is paid for as what answered.
    total = (await admin.get("/usage", group_by="model"))["total"]
    tokens = turn["reply"]["usage"]
    cost = tokens["prompt_tokens"] * PROMPT_PRICE + tokens["completion_tokens"] * COMPLETION_PRICE
    assert total["cost"] == [{"currency": "USD", "micros": round(cost / 1_000_000)}]


async def test_without_a_fallback_the_turn_fails_and_the_chat_goes_on(admin: Person) -> None:
    session = await asks(admin, AWAY)
    for _ in range(2):
        async with admin.stream(session, "Hello") as stream:
            *_, end = await stream.events()
        assert (end["type"], end["error"]["code"]) == ("reply.failed", "upstream_unavailable")
        assert "usage" not in end
