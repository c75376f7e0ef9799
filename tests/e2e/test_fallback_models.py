"""A model whose server is unreachable: its fallback replies, or the turn fails with a reason."""

from uuid import uuid4

import pytest
from e2e_support.model_server import (
    COMPLETION_PRICE,
    MODEL,
    PROMPT_PRICE,
    UNREACHABLE,
    WITH_FALLBACK,
)
from e2e_support.stack import Stack
from e2e_support.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def admin(stack: Stack) -> User:
    return stack.user("admin", tenant=f"tenant-{uuid4().hex}", scope="assistants:write")


async def start_session_with(admin: User, model: str) -> str:
    """Start a session whose assistant uses that model."""
    about = {"id": model, "name": model, "instructions": "Answer."}
    await admin.post("/assistants", about | {"model": model})
    return await admin.start_session(assistant_id=model)


async def test_a_fallback_replies_for_an_unreachable_model(admin: User) -> None:
    session = await start_session_with(admin, WITH_FALLBACK)
    turn = await admin.send(session, "Hello")
    assert turn["reply"]["content"] == "Answer to: Hello"
    assert turn["reply"]["model"] == MODEL
    await admin.messages(session, turn["version"])
    # Priced as the model that replied.
    total = (await admin.get("/usage", group_by="model"))["total"]
    tokens = turn["reply"]["usage"]
    cost = tokens["prompt_tokens"] * PROMPT_PRICE + tokens["completion_tokens"] * COMPLETION_PRICE
    assert total["cost"] == [{"currency": "USD", "micros": round(cost / 1_000_000)}]


async def test_without_a_fallback_each_turn_fails(admin: User) -> None:
    session = await start_session_with(admin, UNREACHABLE)
    for _ in range(2):
        async with admin.stream(session, "Hello") as stream:
            *_, end = await stream.events()
        assert (end["type"], end["error"]["code"]) == ("reply.failed", "upstream_unavailable")
        assert "usage" not in end
