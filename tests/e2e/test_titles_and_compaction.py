"""What models do beside replying: they name sessions, and sum up what no longer fits."""

from pathlib import Path
from uuid import uuid4

import pytest
from stack.model_server import MODEL, ModelServer
from stack.parley import Stack
from stack.person import Person

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

# In tokens: some ten of the messages below.
SMALL = 1_000
LONG = "so much more to say about it " * 12


async def test_a_model_names_sessions_and_sums_up_what_no_longer_fits(
    own_stack: Stack, model_server: ModelServer, tmp_path: Path
) -> None:
    models = tmp_path / "models.yaml"
    models.write_text(
        f"models: [{{name: {MODEL}, base_url: '{model_server.url}', context_size: {SMALL}}}]"
    )
    settings = {
        "PARLEY_MODELS": str(models),
        "PARLEY_MODEL": MODEL,
        "PARLEY_INFERENCE_TITLES": "true",
    }
    async with own_stack.running(**settings):
        ada = own_stack.person("ada")
        await require_a_title(ada)
        await require_a_summary(own_stack, ada, model_server)


async def require_a_title(ada: Person) -> None:
    session, named = await ada.start_session(), await ada.start_session(title="My own")
    await ada.ask(named, "Where shall we go?")
    await ada.ask(session, "Where shall we go?")

    async def suggested() -> str | None:
        title: str | None = (await ada.get(f"/sessions/{session}"))["title"]
        return title

    await eventually(suggested, within=10)
    assert (await ada.get(f"/sessions/{named}"))["title"] == "My own"
    by_hand = await ada.patch(f"/sessions/{session}", {"title": "By hand"})
    await ada.ask(session, "And then?")
    assert (await ada.get(f"/sessions/{session}"))["title"] == by_hand["title"]


async def require_a_summary(stack: Stack, ada: Person, model_server: ModelServer) -> None:
    session = await ada.start_session(title="Long")
    texts = [f"{number} {uuid4()} {LONG}" for number in range(14)]
    for text in texts:
        assert (await ada.ask(session, text))["status"] == "completed"

    async def compacted() -> bool:
        events = await stack.output_of("log", "tail", "--session", session)
        return "context_compacted" in events

    await eventually(compacted, within=10)
    await ada.ask(session, last := f"Last {uuid4()}")
    [[instructions, *context]] = model_server.asked_with(last)
    # The scripted server sums up as it answers everything: by repeating what it was asked.
    assert "Answer to: " in instructions["content"]
    assert context[0]["role"] == "user"
    shown = [message["content"] for message in context if message["role"] == "user"]
    assert shown == [*texts, last][-len(shown) :]
    assert len(shown) < len(texts)
    # Nothing is lost to the person: history has every message.
    page = await ada.history(session, limit=100)
    assert len(page["data"]) == 2 * len(texts) + 2
