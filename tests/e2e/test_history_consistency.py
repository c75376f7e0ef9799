"""History consistency: past versions, conditional requests, read-your-writes."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from e2e_support.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_history_as_of_a_version_or_a_time_is_what_it_was_then(ada: User) -> None:
    session = await ada.start_session()
    pages, turns = [], []
    for number in range(3):
        turns.append(await ada.send(session, f"Thought {number}"))
        pages.append((await ada.history(session))["data"])
    for turn, page in zip(turns, pages, strict=True):
        assert (await ada.history(session, as_of=turn["version"]))["data"] == page
        instant = turn["reply"]["created_at"]
        assert (await ada.history(session, as_of=instant))["data"] == page
    between = turns[1]["message"]["version"]
    assert (await ada.history(session, as_of=between))["data"] == pages[1][1:]


async def test_an_edit_does_not_change_earlier_history(ada: User) -> None:
    session = await ada.start_session()
    first = await ada.send(session, "Before")
    page = (await ada.history(session))["data"]
    await ada.post(f"/sessions/{session}/messages", {"content": "After", "parent_message_id": None})
    assert (await ada.history(session))["data"] != page
    assert (await ada.history(session, as_of=first["version"]))["data"] == page


async def test_a_future_time_and_a_nonexistent_version_are_rejected(ada: User) -> None:
    session = await ada.start_session()
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    for wrong in (tomorrow, "99", "0", "yesterday", "2026-01-01T00:00:00"):
        status, error = await ada.expect_error(
            "GET", f"/history/{session}", params={"as_of": wrong}
        )
        assert (status, error["param"]) == (400, "as_of"), wrong


async def test_an_unchanged_page_is_not_sent_again(ada: User) -> None:
    session = await ada.start_session()
    await ada.send(session, "Once")
    first = await ada.request("GET", f"/history/{session}")
    tag = first.headers["etag"]
    for _ in range(2):
        again = await ada.request("GET", f"/history/{session}", headers={"if-none-match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    await ada.send(session, "Twice")
    changed = await ada.request("GET", f"/history/{session}", headers={"if-none-match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


async def test_a_client_reads_its_own_writes(ada: User) -> None:
    async def write_and_read(number: int) -> None:
        session = await ada.start_session(title=f"{number}")
        for place in range(5):
            turn = await ada.send(session, f"Thought {place}")
            newest = (await ada.history(session, limit=2))["data"]
            assert [message["id"] for message in newest] == [
                turn["reply"]["id"],
                turn["message"]["id"],
            ]

    await asyncio.gather(*(write_and_read(number) for number in range(5)))


async def test_reads_are_monotonic(ada: User) -> None:
    """Eight readers look for stale pages of the cache while the session is written to."""
    session = await ada.start_session()
    done = asyncio.Event()

    async def read() -> int:
        seen, reads = 0, 0
        while not done.is_set():
            page: dict[str, Any] = await ada.history(session)
            assert page["version"] >= seen
            if page["data"]:
                assert page["data"][0]["version"] <= page["version"]
            seen, reads = page["version"], reads + 1
        return reads

    readers = [asyncio.create_task(read()) for _ in range(8)]
    for number in range(25):
        turn = await ada.send(session, f"Thought {number}")
        page = await ada.history(session)
        assert page["version"] >= turn["version"]
        assert page["data"][0]["id"] == turn["reply"]["id"]
    done.set()
    assert sum(await asyncio.gather(*readers)) > 100
