"""Full-text search over the caller's own messages."""

from uuid import uuid4

import pytest
from e2e_support.stack import Stack
from e2e_support.user import User

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def found(user: User, query: str, **more: object) -> list[str]:
    """The contents of the messages found."""
    results = await user.post("/search", {"query": query, **more})
    return [result["message"]["content"] for result in results["data"]]


async def test_search_ignores_case_and_accents(ada: User) -> None:
    session = await ada.start_session(title="Holidays")
    await ada.send(session, "Café in Zürich")
    await ada.send(session, "東京の喫茶店")
    both = ["Answer to: Café in Zürich", "Café in Zürich"]
    await eventually(lambda: found(ada, "東京"))
    assert await found(ada, "CAFE") == both
    assert await found(ada, "zurich café") == both
    assert await found(ada, "喫茶") == ["Answer to: 東京の喫茶店", "東京の喫茶店"]
    assert await found(ada, "cafe berlin") == []
    [result, _] = (await ada.post("/search", {"query": "zürich"}))["data"]
    assert result["object"] == "search_result"
    assert (result["session_id"], result["session_title"]) == (session, "Holidays")


async def test_words_of_many_scripts_are_found(ada: User) -> None:
    session = await ada.start_session()
    texts = {
        "ข้าวผัด": "ฉันชอบกินข้าวผัดทุกวัน",
        "ກິນ": "ຂ້ອຍຢາກກິນເຂົ້າ",
        "ភាសា": "ខ្ញុំចូលចិត្តភាសាខ្មែរ",
        "محمد": "مُحَمَّدٌ",
        "שלום": "שָׁלוֹם",
        "민국": "대한민국은",
        "हिन्दी": "मैं हिन्दी बोलता हूँ",
        "👍": "great 👍🏽",
    }
    for text in texts.values():
        await ada.send(session, text)
    await eventually(lambda: found(ada, "👍"))
    for query, text in texts.items():
        assert await found(ada, query) == [f"Answer to: {text}", text]
    assert await found(ada, "हिन्दू") == []


async def test_results_are_paged_and_filtered_by_session_and_assistant(
    ada: User,
) -> None:
    first, second = await ada.start_session(), await ada.start_session(assistant_id="tutor")
    for session in (first, second, first):
        await ada.send(session, "needle")
    await eventually(lambda: _all_found(ada, 6))
    page = await ada.post("/search", {"query": "needle", "limit": 4})
    assert (len(page["data"]), page["has_more"]) == (4, True)
    rest = await ada.post("/search", {"query": "needle", "limit": 4, "after": page["last_id"]})
    assert (len(rest["data"]), rest["has_more"]) == (2, False)
    ids = [result["message"]["id"] for result in page["data"] + rest["data"]]
    assert len(set(ids)) == 6
    assert len(await found(ada, "needle", session_id=first)) == 4
    assert len(await found(ada, "needle", assistant_id="tutor")) == 2


async def test_messages_of_another_user_are_not_found(ada: User, stack: Stack) -> None:
    word = f"word{uuid4().hex}"
    await ada.send(await ada.start_session(), word)
    await eventually(lambda: found(ada, word))
    eve = stack.user(f"eve-{uuid4()}")
    await eve.start_session()
    assert await found(eve, word) == []
    assert await found(stack.user(f"nobody-{uuid4()}"), word) == []


async def test_an_invalid_search_is_rejected(ada: User) -> None:
    for body, param in (
        ({"query": ""}, "query"),
        ({"query": "!?"}, "query"),
        ({"query": "x" * 501}, "query"),
        ({"query": "x", "limit": 0}, "limit"),
        ({"query": "x", "after": str(uuid4())}, "after"),
        ({}, "query"),
    ):
        status, error = await ada.expect_error("POST", "/search", json=body)
        assert (status, error["param"]) == (400, param), body


async def _all_found(user: User, count: int) -> bool:
    return len(await found(user, "needle", limit=100)) == count
