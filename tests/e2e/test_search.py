"""A person finds what they and their assistants said, and nobody else does."""

from uuid import uuid4

import pytest
from stack.parley import Stack
from stack.person import Person

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def found(person: Person, query: str, **more: object) -> list[str]:
    """The contents of the messages that were found."""
    results = await person.post("/search", {"query": query, **more})
    return [result["message"]["content"] for result in results["data"]]


async def test_words_are_found_whatever_their_case_and_accents(ada: Person) -> None:
    session = await ada.start_session(title="Holidays")
    await ada.ask(session, "Café in Zürich")
    await ada.ask(session, "東京の喫茶店")
    both = ["Answer to: Café in Zürich", "Café in Zürich"]
    await eventually(lambda: found(ada, "東京"), within=10)
    assert await found(ada, "CAFE") == both
    assert await found(ada, "zurich café") == both
    assert await found(ada, "喫茶") == ["Answer to: 東京の喫茶店", "東京の喫茶店"]
    assert await found(ada, "cafe berlin") == []
    [result, _] = (await ada.post("/search", {"query": "zürich"}))["data"]
    assert result["object"] == "search_result"
    assert (result["session_id"], result["session_title"]) == (session, "Holidays")


async def test_pages_of_results_and_a_search_within_one_session_or_assistant(
    ada: Person,
) -> None:
    first, second = await ada.start_session(), await ada.start_session(assistant_id="tutor")
    for session in (first, second, first):
        await ada.ask(session, "needle")
    await eventually(lambda: _all_found(ada, 6), within=10)
    page = await ada.post("/search", {"query": "needle", "limit": 4})
    assert (len(page["data"]), page["has_more"]) == (4, True)
    rest = await ada.post("/search", {"query": "needle", "limit": 4, "after": page["last_id"]})
    assert (len(rest["data"]), rest["has_more"]) == (2, False)
    ids = [result["message"]["id"] for result in page["data"] + rest["data"]]
    assert len(set(ids)) == 6
    assert len(await found(ada, "needle", session_id=first)) == 4
    assert len(await found(ada, "needle", assistant_id="tutor")) == 2


async def test_nobody_finds_what_another_person_said(ada: Person, stack: Stack) -> None:
    word = f"word{uuid4().hex}"
    await ada.ask(await ada.start_session(), word)
    await eventually(lambda: found(ada, word), within=10)
    eve = stack.person(f"eve-{uuid4()}")
    await eve.start_session()
    assert await found(eve, word) == []
    assert await found(stack.person(f"nobody-{uuid4()}"), word) == []


async def test_what_cannot_be_searched_for_is_refused(ada: Person) -> None:
    for body, param in (
        ({"query": ""}, "query"),
        ({"query": "!?"}, "query"),
        ({"query": "x" * 501}, "query"),
        ({"query": "x", "limit": 0}, "limit"),
        ({"query": "x", "after": str(uuid4())}, "after"),
        ({}, "query"),
    ):
        status, error = await ada.refused("POST", "/search", json=body)
        assert (status, error["param"]) == (400, param), body


async def _all_found(person: Person, count: int) -> bool:
    return len(await found(person, "needle", limit=100)) == count
