"""The stack is ended and started again on its data: nothing is forgotten."""

import asyncio
from contextlib import suppress
from uuid import uuid4

import httpx2
import pytest
from stack.model_server import ModelServer
from stack.parley import Stack
from stack.person import Person

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

ENDLESS = f"[gate 3] that nobody opens {uuid4()}"


async def test_history_and_context_outlive_the_stack_and_its_model(
    own_stack: Stack, model_server: ModelServer
) -> None:
    ada = own_stack.person("ada")
    async with own_stack.running():
        assert "demo-model" in await own_stack.status()
        session = await ada.start_session()
        first = await ada.ask(session, "Hello! My name is Ada Lovelace.")
        assert "demo model" in first["reply"]["content"]
        second = await ada.ask(session, "What is my name?")
        assert "**Ada Lovelace**" in second["reply"]["content"]
        turns = [first, second]

    async with own_stack.running(**model_server.settings):
        assert "demo-model" not in await own_stack.status()
        told = [message for turn in turns for message in (turn["message"], turn["reply"])]
        assert await ada.messages(session, second["version"]) == told
        third = await ada.ask(session, text := f"And now? {uuid4()}")
        [[_, *context]] = model_server.asked_with(text)
        assert [(message["role"], message["content"]) for message in context] == [
            *((message["role"], message["content"]) for message in told),
            ("user", text),
        ]
        told += [third["message"], third["reply"]]
        assert await ada.messages(session, third["version"]) == told
        streaming = asyncio.create_task(_read_without_end(ada, session))
        await eventually(lambda: model_server.asked_with(ENDLESS), within=20)
    # It ended within its time although a reply was running.
    assert "reply.completed" not in await streaming
    await own_stack.close()


async def _read_without_end(person: Person, session: str) -> list[str]:
    """The types of the events that came until the stack was gone."""
    types = []
    with suppress(httpx2.TransportError):
        async with person.stream(session, ENDLESS) as turn:
            async for event in turn:
                types.append(event["type"])
    return types
