"""Edits and regenerated replies, over HTTP."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from session_support.client import EVE, ApiResponse
from session_support.service import Service

from parley_core.storage.postgres_pool import Pool


async def say(session: Service, session_id: str, content: str, **more: Any) -> ApiResponse:
    body = {"content": content, **more}
    return await session.call("POST", f"/sessions/{session_id}/messages", body)


async def end(session: Service, turn: dict[str, Any], reply: str) -> dict[str, Any]:
    runner = str(uuid4())
    await session.claim(turn["id"], runner)
    return dict((await session.complete(turn["id"], runner, content=reply)).body)


async def regenerate(session: Service, session_id: str, key: str | None = None, **body: Any) -> Any:
    return await session.call("POST", f"/sessions/{session_id}/regenerate", body, key=key)


async def shown(session: Service) -> list[str]:
    response = await session.call("POST", "/switch-assistant", {"assistant_id": "helper"})
    return [message["content"] for message in response.body["messages"]]


async def test_messages_have_their_parents(session: Service) -> None:
    session_id = (await session.start())["id"]
    first = await session.answered(session_id, "one", "two")
    second = await session.answered(session_id, "three", "four")
    assert first["message"]["parent_message_id"] is None
    assert first["reply"]["parent_message_id"] == first["message"]["id"]
    assert second["message"]["parent_message_id"] == first["reply_id"]
    response = await session.call("POST", "/switch-assistant", {"assistant_id": "helper"})
    messages = [first["message"], first["reply"], second["message"], second["reply"]]
    assert response.body["messages"] == messages


async def test_an_edit_opens_a_new_current_branch(session: Service) -> None:
    session_id = (await session.start())["id"]
    first = await session.answered(session_id, "one", "two")
    await session.answered(session_id, "three", "four")
    edit = await say(session, session_id, "3!", parent_message_id=first["reply_id"])
    assert edit.body["message"]["parent_message_id"] == first["reply_id"]
    await end(session, edit.body, "4!")
    assert await shown(session) == ["one", "two", "3!", "4!"]
    anew = await say(session, session_id, "1!", parent_message_id=None)
    assert anew.body["message"]["parent_message_id"] is None
    claim = await session.claim(anew.body["id"], str(uuid4()))
    assert [m["content"] for m in claim["run"]["context"]["messages"]] == ["1!"]


async def test_a_null_parent_differs_from_an_absent_one(
    session: Service,
) -> None:
    session_id = (await session.start())["id"]
    path = f"/sessions/{session_id}/messages"
    first = await session.call("POST", path, {"content": "hi"}, key="k1")
    assert first.status == 201
    body = {"content": "hi", "parent_message_id": None}
    response = await session.call("POST", path, body, key="k1")
    assert response.error == (422, "idempotency_key_reused", None)


async def test_a_parent_in_another_session_is_unknown(session: Service) -> None:
    elsewhere = await session.answered((await session.start())["id"], "one", "two")
    session_id = (await session.start())["id"]
    response = await say(session, session_id, "hi", parent_message_id=elsewhere["reply_id"])
    assert response.error == (400, "invalid_request", "parent_message_id")


async def test_a_regenerated_reply_is_a_sibling_of_the_first(session: Service, pool: Pool) -> None:
    session_id = (await session.start())["id"]
    first = await session.answered(session_id, "one", "two")
    response = await regenerate(session, session_id)
    turn = response.body
    assert (response.status, turn["status"], turn["version"]) == (201, "running", 5)
    assert turn["message"]["id"] == first["message"]["id"]
    row = await pool.fetchrow("SELECT * FROM turns WHERE id = $1", UUID(turn["id"]))
    assert row is not None
    assert (row["message_sequence"], row["requested_sequence"]) == (2, 5)
    claim = await session.claim(turn["id"], str(uuid4()))
    context = claim["run"]["context"]["messages"]
    assert [message["content"] for message in context] == ["one"]
    rejected = await regenerate(session, session_id)
    assert rejected.error == (409, "turn_open", None)


async def test_a_regenerated_reply_can_be_read_and_followed(session: Service) -> None:
    session_id = (await session.start())["id"]
    await session.answered(session_id, "one", "two")
    turn = (await regenerate(session, session_id, key="k1")).body
    ended = await end(session, turn, "2!")
    assert ended["reply"]["parent_message_id"] == turn["message"]["id"]
    assert await session.turn(turn["id"]) == ended
    repeated = await regenerate(session, session_id, key="k1")
    assert (repeated.status, repeated.body) == (200, ended)
    assert await shown(session) == ["one", "2!"]
    following = await session.submit(session_id, "three")
    assert following["message"]["parent_message_id"] == turn["reply_id"]


@pytest.mark.parametrize("which", ["reply_id", "id"])
async def test_only_replies_to_user_messages_are_regenerated(session: Service, which: str) -> None:
    session_id = (await session.start())["id"]
    turn = await session.answered(session_id, "one", "two")
    response = await regenerate(session, session_id, message_id=turn[which])
    assert response.error == (400, "invalid_request", "message_id")
    path = f"/sessions/{session_id}/regenerate"
    assert (await session.call("POST", path, {}, who=EVE)).status == 404
