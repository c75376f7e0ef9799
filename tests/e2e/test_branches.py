"""Edits, second replies and forks: history keeps every branch and shows the current one."""

from typing import Any
from uuid import uuid4

import pytest
from stack.model_server import ModelServer
from stack.person import Person

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def shown(person: Person, session: str, **query: Any) -> list[str]:
    """The contents that history shows, oldest first."""
    page = await person.history(session, order="asc", **query)
    return [message["content"] for message in page["data"]]


async def edit(person: Person, session: str, parent: str | None, content: str) -> dict[str, Any]:
    body = {"content": content, "parent_message_id": parent}
    return await person.post(f"/sessions/{session}/messages", body)


async def test_an_edit_of_the_last_message_makes_a_branch_and_the_first_is_kept(
    ada: Person, model_server: ModelServer
) -> None:
    session = await ada.start_session()
    first = await ada.ask(session, "First")
    old = await ada.ask(session, f"Old {session}")
    edited = await edit(ada, session, first["reply"]["id"], f"New {session}")

    beginning = ["First", "Answer to: First"]
    assert await shown(ada, session) == [*beginning, f"New {session}", f"Answer to: New {session}"]
    old_leaf = old["reply"]["id"]
    assert await shown(ada, session, leaf=old_leaf) == [
        *(*beginning, f"Old {session}", f"Answer to: Old {session}")
    ]
    assert len(await shown(ada, session, branches="all")) == 6
    assert edited["message"]["parent_message_id"] == old["message"]["parent_message_id"]
    [[_, *context]] = model_server.asked_with(f"New {session}")
    assert [message["content"] for message in context] == [*beginning, f"New {session}"]


async def test_the_first_message_can_be_edited_too(ada: Person) -> None:
    session = await ada.start_session()
    await ada.ask(session, "Before")
    await edit(ada, session, None, "After")
    assert await shown(ada, session) == ["After", "Answer to: After"]
    assert len(await shown(ada, session, branches="all")) == 4


async def test_a_reply_made_again_is_a_sibling_of_the_first_one(ada: Person) -> None:
    session = await ada.start_session()
    first = await ada.ask(session, "Tell me")
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
    following = await ada.ask(session, "Go on")
    assert following["message"]["parent_message_id"] == again["reply"]["id"]


async def test_a_regenerated_reply_streams_and_its_key_makes_it_once(ada: Person) -> None:
    session = await ada.start_session()
    await ada.ask(session, "Tell me")
    path, key = f"/sessions/{session}/regenerate", str(uuid4())
    first = await ada.post(path, {}, key=key)
    again = await ada.post(path, {}, key=key)
    assert again == first
    streamed = await ada.call("POST", path, json={"stream": True})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert "reply.completed" in streamed.text
    assert len(await shown(ada, session, branches="all")) == 4


async def test_pages_of_a_branch_follow_each_other_in_both_directions(ada: Person) -> None:
    session = await ada.start_session()
    turns = [await ada.ask(session, f"Thought {n}") for n in range(3)]
    await edit(ada, session, turns[1]["reply"]["id"], "Another third thought")
    whole = (await ada.history(session))["data"]
    assert len(whole) == 6
    first = await ada.history(session, limit=4)
    assert (first["data"], first["has_more"]) == (whole[:4], True)
    rest = await ada.history(session, limit=4, after=first["last_id"])
    assert (rest["data"], rest["has_more"]) == (whole[4:], False)
    back = await ada.history(session, limit=4, before=rest["first_id"])
    assert (back["data"], back["has_more"]) == (whole[:4], False)


async def test_a_fork_is_a_session_of_its_own_up_to_a_message(
    ada: Person, model_server: ModelServer
) -> None:
    session = await ada.start_session(title="Plans", metadata={"topic": "travel"})
    first = await ada.ask(session, "First")
    await ada.ask(session, "Second")
    body = {"message_id": first["reply"]["id"]}
    fork = await ada.post(f"/sessions/{session}/fork", body)
    assert fork["id"] != session
    assert (fork["title"], fork["metadata"]) == ("Plans", {"topic": "travel"})
    assert fork["forked_from"] == {"session_id": session, "message_id": first["reply"]["id"]}
    assert await shown(ada, fork["id"]) == ["First", "Answer to: First"]

    await ada.ask(fork["id"], f"Elsewhere {session}")
    [[_, *context]] = model_server.asked_with(f"Elsewhere {session}")
    assert [message["content"] for message in context] == [
        *("First", "Answer to: First", f"Elsewhere {session}")
    ]
    assert len(await shown(ada, session)) == 4

    await ada.delete(f"/sessions/{session}")
    assert len(await shown(ada, fork["id"])) == 4


async def test_what_no_branch_can_begin_with_is_refused(ada: Person) -> None:
    session, other = await ada.start_session(), await ada.start_session()
    elsewhere = (await ada.ask(other, "Elsewhere"))["message"]["id"]
    turn = await ada.ask(session, "Here")
    for body in ({"content": "x", "parent_message_id": elsewhere},):
        status, error = await ada.refused("POST", f"/sessions/{session}/messages", json=body)
        assert (status, error["param"]) == (400, "parent_message_id")
    for message in (elsewhere, turn["reply"]["id"], str(uuid4())):
        status, error = await ada.refused(
            "POST", f"/sessions/{session}/regenerate", json={"message_id": message}
        )
        assert (status, error["param"]) == (400, "message_id")
    status, error = await ada.refused(
        "POST", f"/sessions/{session}/fork", json={"message_id": elsewhere}
    )
    assert (status, error["param"]) == (400, "message_id")
    status, error = await ada.refused("GET", f"/history/{session}", params={"leaf": elsewhere})
    assert (status, error["param"]) == (400, "leaf")
