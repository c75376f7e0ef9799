"""Background turns: submitted without waiting, then polled."""

from uuid import uuid4

import pytest
from e2e_support.model_server import TOKEN, ModelServer
from e2e_support.stack import Stack
from e2e_support.user import User

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_background_turn_completes_without_a_connected_client(
    ada: User, model_server: ModelServer
) -> None:
    session, text = await ada.start_session(), f"[gate 3] {uuid4()}"
    body = {"content": text, "background": True}
    answer = await ada.request("POST", f"/sessions/{session}/messages", json=body)
    turn = answer.json()
    assert (answer.status_code, turn["status"], turn["reply"]) == (202, "running", None)
    assert (await ada.get(f"/turns/{turn['id']}"))["status"] == "running"
    model_server.open_gate(text)

    async def has_ended() -> bool:
        return bool((await ada.get(f"/turns/{turn['id']}"))["status"] == "completed")

    await eventually(has_ended)
    ended = await ada.get(f"/turns/{turn['id']}")
    assert ended["reply"]["content"] == 6 * TOKEN
    assert await ada.messages(session, ended["version"]) == [ended["message"], ended["reply"]]


async def test_a_turn_of_another_user_is_not_found(ada: User, stack: Stack) -> None:
    turn = await ada.send(await ada.start_session(), "Hello")
    assert (await ada.get(f"/turns/{turn['id']}"))["status"] == "completed"
    eve = stack.user(f"eve-{uuid4()}")
    refused = await eve.request("GET", f"/turns/{turn['id']}")
    unknown = await eve.request("GET", f"/turns/{uuid4()}")
    assert refused.status_code == unknown.status_code == 404
    assert refused.json() == unknown.json()
