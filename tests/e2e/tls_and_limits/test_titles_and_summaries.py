"""Generated session titles, and summaries of messages that exceed the context window."""

from uuid import uuid4

import pytest
from e2e_support.model_server import ModelServer
from e2e_support.stack import Stack
from e2e_support.user import User

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

# A tenth of the context window.
FILLER = "so much more to say about it " * 12


async def test_a_model_suggests_a_title_unless_a_user_gave_one(ada: User) -> None:
    session, named = await ada.start_session(), await ada.start_session(title="My own")
    await ada.send(named, "Where shall we go?")
    await ada.send(session, "Where shall we go?")

    async def suggested() -> str | None:
        title: str | None = (await ada.get(f"/sessions/{session}"))["title"]
        return title

    await eventually(suggested)
    assert (await ada.get(f"/sessions/{named}"))["title"] == "My own"
    by_hand = await ada.patch(f"/sessions/{session}", {"title": "By hand"})
    await ada.send(session, "And then?")
    assert (await ada.get(f"/sessions/{session}"))["title"] == by_hand["title"]


async def test_a_model_summarizes_messages_beyond_the_context_window(
    stack: Stack, ada: User, model_server: ModelServer
) -> None:
    session = await ada.start_session(title="Long")
    texts = [f"{number} {uuid4()} {FILLER}" for number in range(14)]
    for text in texts:
        assert (await ada.send(session, text))["status"] == "completed"

    async def compacted() -> bool:
        events = await stack.stdout_of("log", "tail", "--session", session)
        return "context_compacted" in events

    await eventually(compacted)
    await ada.send(session, last := f"Last {uuid4()}")
    [[instructions, *context]] = model_server.prompts_with(last)
    # The scripted model server repeats its prompt, so a summary begins like every reply.
    assert "Answer to: " in instructions["content"]
    assert context[0]["role"] == "user"
    shown = [message["content"] for message in context if message["role"] == "user"]
    assert shown == [*texts, last][-len(shown) :]
    assert len(shown) < len(texts)
    # History still contains every message.
    page = await ada.history(session, limit=100)
    assert len(page["data"]) == 2 * len(texts) + 2
