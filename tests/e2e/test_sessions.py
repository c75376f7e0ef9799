"""Listing, renaming and archiving sessions."""

import asyncio
from uuid import uuid4

import pytest
from e2e_support.stack import Stack
from e2e_support.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def ids(user: User, **query: object) -> list[str]:
    """The ids on the first page of the list of sessions."""
    return [session["id"] for session in (await user.get("/sessions", **query))["data"]]


async def test_the_newest_session_is_first_in_the_list(ada: User) -> None:
    started = [await ada.start_session(title=f"Session {n}") for n in range(3)]
    assert await ids(ada) == started[::-1]
    assert await ids(ada, order="asc") == started


async def test_an_updated_session_moves_to_the_front(ada: User) -> None:
    first, second = await ada.start_session(), await ada.start_session()
    turn = await ada.send(first, "Once more")
    assert await ids(ada) == [first, second]
    [newest, _] = (await ada.get("/sessions"))["data"]
    assert newest["version"] == turn["version"]
    assert newest == await ada.get(f"/sessions/{first}")


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_of_sessions_are_contiguous(ada: User, order: str) -> None:
    started = [await ada.start_session() for _ in range(5)]
    whole = started if order == "asc" else started[::-1]
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await ada.get("/sessions", limit=2, order=order, **cursor)
        found += [session["id"] for session in page["data"]]
        if not page["has_more"]:
            break
        cursor = {"after": page["last_id"]}
    assert found == whole
    back = await ada.get("/sessions", limit=2, order=order, before=whole[4])
    assert [session["id"] for session in back["data"]] == whole[2:4]
    assert back["has_more"] is True


async def test_sessions_are_filtered_by_assistant_and_archived_state(
    ada: User,
) -> None:
    tutor, other = await ada.start_session(assistant_id="tutor"), await ada.start_session()
    assert await ids(ada, assistant_id="tutor") == [tutor]
    archived = await ada.patch(f"/sessions/{other}", {"archived": True})
    assert archived["archived"] is True
    assert await ids(ada) == [tutor]
    assert await ids(ada, archived="true") == [other]
    assert set(await ids(ada, archived="all")) == {tutor, other}
    await ada.patch(f"/sessions/{other}", {"archived": False})
    assert set(await ids(ada)) == {tutor, other}


async def test_title_and_metadata_are_updated(ada: User) -> None:
    session = await ada.start_session(title="Before", metadata={"topic": "travel"})
    changed = await ada.patch(f"/sessions/{session}", {"title": "After"})
    assert (changed["title"], changed["metadata"]) == ("After", {"topic": "travel"})
    changed = await ada.patch(f"/sessions/{session}", {"metadata": {"topic": "food"}})
    assert (changed["title"], changed["metadata"]) == ("After", {"topic": "food"})
    again = await ada.patch(f"/sessions/{session}", {"title": "After"})
    assert again["version"] == changed["version"]
    [listed] = (await ada.get("/sessions"))["data"]
    assert listed == changed == await ada.get(f"/sessions/{session}")
    untitled = await ada.patch(f"/sessions/{session}", {"title": None})
    assert untitled["title"] is None


async def test_concurrent_requests_with_one_client_chosen_id_start_one_session(ada: User) -> None:
    chosen = str(uuid4())
    answers = await asyncio.gather(
        *(ada.request("POST", "/sessions", json={"id": chosen}, key="once") for _ in range(5))
    )
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert {answer.json()["id"] for answer in answers} == {chosen}
    status, error = await ada.expect_error("POST", "/sessions", json={"id": chosen})
    assert (status, error["code"]) == (409, "session_id_unavailable")


async def test_a_temporary_session_is_not_listed(ada: User) -> None:
    session = await ada.start_session(temporary=True)
    turn = await ada.send(session, f"Not for long {uuid4()}")
    assert turn["status"] == "completed"
    assert (await ada.get(f"/sessions/{session}"))["expires_at"]
    assert await ids(ada, archived="all") == []
    assert len((await ada.history(session))["data"]) == 2


async def test_a_session_of_another_user_cannot_be_read_changed_or_erased(
    ada: User, stack: Stack
) -> None:
    session = await ada.start_session(title="Mine")
    turn = await ada.send(session, "Mine alone")
    message = turn["message"]["id"]
    for stranger in (stack.user("eve"), stack.user("eve", tenant="elsewhere")):
        for method, path, body in (
            ("GET", f"/sessions/{session}", None),
            ("PATCH", f"/sessions/{session}", {"title": "Hers"}),
            ("DELETE", f"/sessions/{session}", None),
            ("POST", f"/sessions/{session}/fork", {"message_id": message}),
            ("POST", f"/sessions/{session}/regenerate", {}),
            ("POST", f"/sessions/{session}/restore", {}),
            ("GET", f"/sessions/{session}/export", None),
            ("GET", f"/history/{session}", None),
            ("POST", f"/history/{session}", {"messages": [{"role": "user", "content": "x"}]}),
        ):
            status, error = await stranger.expect_error(method, path, json=body)
            assert (status, error["code"]) == (404, "session_not_found"), (method, path)
    assert (await ada.get(f"/sessions/{session}"))["version"] == turn["version"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": 101}, "limit"),
        ({"order": "sideways"}, "order"),
        ({"after": "no-id"}, "after"),
        ({"after": str(uuid4())}, "after"),
        ({"archived": "maybe"}, "archived"),
        ({"updated_after": "yesterday"}, "updated_after"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_an_invalid_list_query_is_rejected(
    ada: User, query: dict[str, object], param: str
) -> None:
    status, error = await ada.expect_error("GET", "/sessions", params=query)
    assert (status, error["param"]) == (400, param)
