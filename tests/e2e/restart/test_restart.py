"""A stack that is stopped and started again on its data keeps everything."""

import asyncio
from contextlib import suppress
from uuid import uuid4

import httpx2
import pytest
from e2e_support.model_server import ModelServer
from e2e_support.restarted import Restarted
from e2e_support.user import User

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_first_list_of_a_new_stack_has_the_session_just_started(
    restarted: Restarted,
) -> None:
    listed = restarted.first_list.json()
    if restarted.first_list.status_code == 503:
        assert listed["error"]["code"] == "projection_behind"
    else:
        assert [each["id"] for each in listed["data"]] == [restarted.session]


async def test_history_and_context_survive_a_restart_with_another_model(
    restarted: Restarted, model_server: ModelServer
) -> None:
    ada, session, [first, second] = restarted.ada, restarted.session, restarted.turns
    assert "demo model" in first["reply"]["content"]
    assert "**Ada Lovelace**" in second["reply"]["content"]
    assert "demo-model" not in await restarted.stack.status()
    expected = [message for turn in restarted.turns for message in (turn["message"], turn["reply"])]
    assert await ada.messages(session, second["version"]) == expected
    third = await ada.send(session, text := f"And now? {uuid4()}")
    [[_, *context]] = model_server.prompts_with(text)
    assert [(message["role"], message["content"]) for message in context] == [
        *((message["role"], message["content"]) for message in expected),
        ("user", text),
    ]
    expected += [third["message"], third["reply"]]
    assert await ada.messages(session, third["version"]) == expected


async def test_a_running_reply_does_not_delay_the_stop(
    restarted: Restarted, model_server: ModelServer
) -> None:
    endless = f"[gate 3] never opened {uuid4()}"
    session = await restarted.ada.start_session()
    streaming = asyncio.create_task(_event_types_until_stop(restarted.ada, session, endless))
    await eventually(lambda: model_server.prompts_with(endless))
    assert await restarted.stack.stop() == 0
    assert "reply.completed" not in await streaming


async def _event_types_until_stop(user: User, session: str, text: str) -> list[str]:
    """The types of the events received until the stack stopped."""
    types = []
    with suppress(httpx2.TransportError):
        async with user.stream(session, text) as turn:
            async for event in turn:
                types.append(event["type"])
    return types
