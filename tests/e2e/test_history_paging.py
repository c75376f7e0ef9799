"""Paging through history."""

from typing import Any

import pytest
import pytest_asyncio
from e2e_support.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")

TURNS = 3


class Conversation:
    """A session and the messages of its turns, oldest first."""

    def __init__(self, session: str, turns: list[dict[str, Any]]) -> None:
        self.session = session
        self.version = turns[-1]["version"]
        self.messages = [message for turn in turns for message in (turn["message"], turn["reply"])]


@pytest_asyncio.fixture(loop_scope="session")
async def conversation(ada: User) -> Conversation:
    session = await ada.start_session()
    turns = [await ada.send(session, f"Thought {number}") for number in range(TURNS)]
    conversation = Conversation(session, turns)
    await ada.messages(session, conversation.version)
    return conversation


async def test_history_is_newest_first_by_default(ada: User, conversation: Conversation) -> None:
    newest_first = await ada.history(conversation.session)
    assert newest_first["object"] == "list"
    assert newest_first["data"] == conversation.messages[::-1]
    assert newest_first["version"] == conversation.version
    assert newest_first["has_more"] is False
    oldest_first = await ada.history(conversation.session, order="asc")
    assert oldest_first["data"] == conversation.messages


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_are_contiguous(ada: User, conversation: Conversation, order: str) -> None:
    whole = conversation.messages if order == "asc" else conversation.messages[::-1]
    page = await ada.history(conversation.session, order=order, limit=4)
    assert page["data"] == whole[:4]
    assert page["has_more"] is True
    assert (page["first_id"], page["last_id"]) == (whole[0]["id"], whole[3]["id"])
    page = await ada.history(conversation.session, order=order, limit=4, after=page["last_id"])
    assert page["data"] == whole[4:]
    assert page["has_more"] is False
    page = await ada.history(conversation.session, order=order, limit=4, before=page["first_id"])
    assert page["data"] == whole[:4]


async def test_a_new_session_has_an_empty_history(ada: User) -> None:
    session = await ada.start_session()
    page = await ada.history(session)
    assert page["data"] == []
    assert page["has_more"] is False


async def test_a_nonexistent_min_version_is_rejected(ada: User, conversation: Conversation) -> None:
    query = {"min_version": conversation.version + 1}
    status, error = await ada.expect_error("GET", f"/history/{conversation.session}", params=query)
    assert (status, error["param"]) == (400, "min_version")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"order": "sideways"}, "order"),
        ({"after": "no-id"}, "after"),
        ({"min_version": -1}, "min_version"),
    ],
)
async def test_an_invalid_query_is_rejected(
    ada: User, conversation: Conversation, query: dict[str, Any], param: str
) -> None:
    answer = await ada.request("GET", f"/history/{conversation.session}", params=query)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
