"""Edits, regenerated replies and forks: history keeps every branch and shows the current one."""

from typing import Any
from uuid import uuid4

import pytest
from e2e_support.model_server import ModelServer
from e2e_support.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def contents(user: User, session: str, **query: Any) -> list[str]:
    """The contents of the messages that history returns, oldest first."""
    page = await user.history(session, order="asc", **query)
    return [message["content"] for message in page["data"]]


async def edit(user: User, session: str, parent: str | None, content: str) -> dict[str, Any]:
    body = {"content": content, "parent_message_id": parent}
    return await user.post(f"/sessions/{session}/messages", body)


async def test_an_edit_creates_a_branch_and_keeps_the_original(
    ada: User, model_server: ModelServer
) -> None:
    session = await ada.start_session()
    first = await ada.send(session, "First")
    old = await ada.send(session, f"Old {session}")
    edited = await edit(ada, session, first["reply"]["id"], f"New {session}")

    beginning = ["First", "Answer to: First"]
    assert await contents(ada, session) == [
        *beginning,
        f"New {session}",
        f"Answer to: New {session}",
    ]
    old_leaf = old["reply"]["id"]
    assert await contents(ada, session, leaf=old_leaf) == [
        *(*beginning, f"Old {session}", f"Answer to: Old {session}")
    ]
    assert len(await contents(ada, session, branches="all")) == 6
    assert edited["message"]["parent_message_id"] == old["message"]["parent_message_id"]
    [[_, *context]] = model_server.prompts_with(f"New {session}")
    assert [message["content"] for message in context] == [*beginning, f"New {session}"]


async def test_the_first_message_can_be_edited(ada: User) -> None:
    session = await ada.start_session()
    await ada.send(session, "Before")
    await edit(ada, session, None, "After")
    assert await contents(ada, session) == ["After", "Answer to: After"]
    assert len(await contents(ada, session, branches="all")) == 4


async def test_a_regenerated_reply_is_a_sibling_of_the_first(ada: User) -> None:
    session = await ada.start_session()
    first = await ada.send(session, "Tell me")
    again = await ada.post(f"/sessions/{session}/regenerate", {})
    assert again["id"] != first["id"]
    assert again["message"]["id"] == first["message"]["id"]
    assert again["reply"]["parent_message_id"] == first["message"]["id"]
    page = await ada.history(session, order="asc")
    assert [message["id"] for message in page["data"]] == [
        first["message"]["id"],
        again["reply"]["id"],
    ]
    everything = await ada.history(session, order="asc", branches="all")
    assert [message["id"] for message in everything["data"]] == [
        first["message"]["id"],
        first["reply"]["id"],
        again["reply"]["id"],
    ]
    following = await ada.send(session, "Go on")
    assert following["message"]["parent_message_id"] == again["reply"]["id"]


async def test_a_regenerated_reply_can_be_streamed_and_is_idempotent(ada: User) -> None:
    session = await ada.start_session()
    await ada.send(session, "Tell me")
    path, key = f"/sessions/{session}/regenerate", str(uuid4())
    first = await ada.post(path, {}, key=key)
    again = await ada.post(path, {}, key=key)
    assert again == first
    streamed = await ada.request("POST", path, json={"stream": True})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert "reply.completed" in streamed.text
    assert len(await contents(ada, session, branches="all")) == 4


async def test_a_branch_is_paged_in_both_directions(ada: User) -> None:
    session = await ada.start_session()
    turns = [await ada.send(session, f"Thought {n}") for n in range(3)]
    await edit(ada, session, turns[1]["reply"]["id"], "Another third thought")
    whole = (await ada.history(session))["data"]
    assert len(whole) == 6
    first = await ada.history(session, limit=4)
    assert (first["data"], first["has_more"]) == (whole[:4], True)
    rest = await ada.history(session, limit=4, after=first["last_id"])
    assert (rest["data"], rest["has_more"]) == (whole[4:], False)
    back = await ada.history(session, limit=4, before=rest["first_id"])
    assert (back["data"], back["has_more"]) == (whole[:4], False)


async def test_a_fork_copies_the_session_up_to_a_message(
    ada: User, model_server: ModelServer
) -> None:
    session = await ada.start_session(title="Plans", metadata={"topic": "travel"})
    first = await ada.send(session, "First")
    await ada.send(session, "Second")
    body = {"message_id": first["reply"]["id"]}
    fork = await ada.post(f"/sessions/{session}/fork", body)
    assert fork["id"] != session
    assert (fork["title"], fork["metadata"]) == ("Plans", {"topic": "travel"})
    assert fork["forked_from"] == {"session_id": session, "message_id": first["reply"]["id"]}
    assert await contents(ada, fork["id"]) == ["First", "Answer to: First"]

    await ada.send(fork["id"], f"Elsewhere {session}")
    [[_, *context]] = model_server.prompts_with(f"Elsewhere {session}")
    assert [message["content"] for message in context] == [
        *("First", "Answer to: First", f"Elsewhere {session}")
    ]
    assert len(await contents(ada, session)) == 4

    await ada.delete(f"/sessions/{session}")
    assert len(await contents(ada, fork["id"])) == 4


async def test_an_invalid_branch_point_is_rejected(ada: User) -> None:
    session, other = await ada.start_session(), await ada.start_session()
    elsewhere = (await ada.send(other, "Elsewhere"))["message"]["id"]
    turn = await ada.send(session, "Here")
    for body in ({"content": "x", "parent_message_id": elsewhere},):
        status, error = await ada.expect_error("POST", f"/sessions/{session}/messages", json=body)
        assert (status, error["param"]) == (400, "parent_message_id")
    for message in (elsewhere, turn["reply"]["id"], str(uuid4())):
        status, error = await ada.expect_error(
            "POST", f"/sessions/{session}/regenerate", json={"message_id": message}
        )
        assert (status, error["param"]) == (400, "message_id")
    status, error = await ada.expect_error(
        "POST", f"/sessions/{session}/fork", json={"message_id": elsewhere}
    )
    assert (status, error["param"]) == (400, "message_id")
    status, error = await ada.expect_error("GET", f"/history/{session}", params={"leaf": elsewhere})
    assert (status, error["param"]) == (400, "leaf")
