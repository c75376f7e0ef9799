"""A stack that is stopped and started again on its data keeps everything."""

import asyncio
from contextlib import suppress
from uuid import uuid4

import httpx2
import pytest
from e2e_support.model_server import ModelServer
from e2e_support.stack import Stack
from e2e_support.user import User

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

ENDLESS = f"[gate 3] never opened {uuid4()}"


async def test_history_and_context_survive_a_restart_with_another_model(
    fresh_stack: Stack, model_server: ModelServer
) -> None:
    ada = fresh_stack.user("ada")
    async with fresh_stack.running():
        assert "demo-model" in await fresh_stack.status()
        session = await ada.start_session()
        first = await ada.send(session, "Hello! My name is Ada Lovelace.")
        assert "demo model" in first["reply"]["content"]
        second = await ada.send(session, "What is my name?")
        assert "**Ada Lovelace**" in second["reply"]["content"]
        turns = [first, second]

    async with fresh_stack.running(**model_server.settings):
        assert "demo-model" not in await fresh_stack.status()
        expected = [message for turn in turns for message in (turn["message"], turn["reply"])]
        assert await ada.messages(session, second["version"]) == expected
        third = await ada.send(session, text := f"And now? {uuid4()}")
        [[_, *context]] = model_server.prompts_with(text)
        assert [(message["role"], message["content"]) for message in context] == [
            *((message["role"], message["content"]) for message in expected),
            ("user", text),
        ]
        expected += [third["message"], third["reply"]]
        assert await ada.messages(session, third["version"]) == expected
        streaming = asyncio.create_task(_event_types_until_stop(ada, session))
        await eventually(lambda: model_server.prompts_with(ENDLESS), within=20)
    # The stack stopped within its limit although a reply was running.
    assert "reply.completed" not in await streaming
    await fresh_stack.close()


async def _event_types_until_stop(user: User, session: str) -> list[str]:
    """The types of the events received until the stack stopped."""
    types = []
    with suppress(httpx2.TransportError):
        async with user.stream(session, ENDLESS) as turn:
            async for event in turn:
                types.append(event["type"])
    return types
