"""What history shows, page by page."""

from typing import Any

import pytest
import pytest_asyncio
from stack.person import Person

pytestmark = pytest.mark.asyncio(loop_scope="session")

TURNS = 3


class Told:
    """A session with three turns; its messages oldest first."""

    def __init__(self, session: str, turns: list[dict[str, Any]]) -> None:
        self.session = session
        self.version = turns[-1]["version"]
        self.messages = [message for turn in turns for message in (turn["message"], turn["reply"])]


@pytest_asyncio.fixture(loop_scope="session")
async def told(ada: Person) -> Told:
    session = await ada.start_session()
    turns = [await ada.ask(session, f"Thought {number}") for number in range(TURNS)]
    told = Told(session, turns)
    await ada.messages(session, told.version)
    return told


async def test_history_is_newest_first_unless_asked_otherwise(ada: Person, told: Told) -> None:
    newest_first = await ada.history(told.session)
    assert newest_first["object"] == "list"
    assert newest_first["data"] == told.messages[::-1]
    assert newest_first["version"] == told.version
    assert newest_first["has_more"] is False
    oldest_first = await ada.history(told.session, order="asc")
    assert oldest_first["data"] == told.messages


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_follow_each_other_without_gap_or_repeat(
    ada: Person, told: Told, order: str
) -> None:
    whole = told.messages if order == "asc" else told.messages[::-1]
    page = await ada.history(told.session, order=order, limit=4)
    assert page["data"] == whole[:4]
    assert page["has_more"] is True
    assert (page["first_id"], page["last_id"]) == (whole[0]["id"], whole[3]["id"])
    page = await ada.history(told.session, order=order, limit=4, after=page["last_id"])
    assert page["data"] == whole[4:]
    assert page["has_more"] is False
    page = await ada.history(told.session, order=order, limit=4, before=page["first_id"])
    assert page["data"] == whole[:4]


async def test_a_new_session_has_an_empty_history_at_once(ada: Person) -> None:
    session = await ada.start_session()
    page = await ada.history(session)
    assert page["data"] == []
    assert page["has_more"] is False


async def test_a_version_that_the_session_never_had_is_not_waited_for(
    ada: Person, told: Told
) -> None:
    query = {"min_version": told.version + 1}
    status, error = await ada.refused("GET", f"/history/{told.session}", params=query)
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
async def test_a_query_that_makes_no_sense_is_refused(
    ada: Person, told: Told, query: dict[str, Any], param: str
) -> None:
    answer = await ada.call("GET", f"/history/{told.session}", params=query)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
