"""A turn that nobody waits for: submitted, left alone, and read when it has ended."""

from uuid import uuid4

import pytest
from stack.model_server import TOKEN, ModelServer
from stack.parley import Stack
from stack.person import Person

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_turn_in_the_background_ends_without_a_client(
    ada: Person, model_server: ModelServer
) -> None:
    session, text = await ada.start_session(), f"[gate 3] {uuid4()}"
    body = {"content": text, "background": True}
    answer = await ada.call("POST", f"/sessions/{session}/messages", json=body)
    turn = answer.json()
    assert (answer.status_code, turn["status"], turn["reply"]) == (202, "running", None)
    assert (await ada.get(f"/turns/{turn['id']}"))["status"] == "running"
    model_server.open_gate(text)

    async def has_ended() -> bool:
        return bool((await ada.get(f"/turns/{turn['id']}"))["status"] == "completed")

    await eventually(has_ended, within=20)
    ended = await ada.get(f"/turns/{turn['id']}")
    assert ended["reply"]["content"] == 6 * TOKEN
    assert await ada.messages(session, ended["version"]) == [ended["message"], ended["reply"]]


async def test_nobody_reads_the_turn_of_another(ada: Person, stack: Stack) -> None:
    turn = await ada.ask(await ada.start_session(), "Hello")
    assert (await ada.get(f"/turns/{turn['id']}"))["status"] == "completed"
    eve = stack.person(f"eve-{uuid4()}")
    refused = await eve.call("GET", f"/turns/{turn['id']}")
    unknown = await eve.call("GET", f"/turns/{uuid4()}")
    assert refused.status_code == unknown.status_code == 404
    assert refused.json() == unknown.json()
