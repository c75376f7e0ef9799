"""History pages: cached, conditional, and never stale or of another user."""

import asyncio
import random
import time
from typing import Any
from uuid import UUID

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway, another_id
from gateway_fakes.history import History
from gateway_fakes.issuer import token

from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService

HISTORY = f"/v1/history/{SESSION_ID}"


@pytest.fixture
async def following(gateway: Gateway, session: FakeSessionService, history: History) -> Any:
    commit(session, history, 4, "Hello")
    return gateway


def commit(
    session: FakeSessionService,
    history: History,
    version: Any,
    text: Any = "",
    session_id: Any = SESSION_ID,
) -> None:
    """Commit a version of the session, and project it."""
    history.project(session_id, version, text)
    session.versions[UUID(str(session_id))] = version


async def wait_until_cached(
    gateway: Gateway, history: History, path: Any = HISTORY, **more: Any
) -> None:
    """Until the page is answered without a call to history."""

    async def is_kept() -> Any:
        before = len(history.reads)
        await gateway.get(path, **more)
        return len(history.reads) == before

    await eventually(is_kept)


async def text(gateway: Gateway, path: Any = HISTORY, **more: Any) -> Any:
    status, page = await gateway.get(path, **more)
    return page["data"][0] if status == 200 else (status, page["error"]["code"])


async def test_a_page_is_read_once_and_then_served_from_the_cache(
    following: Any, history: History
) -> None:
    async with following.request("GET", HISTORY) as answer:
        first, headers = await answer.read(), answer.headers
    await wait_until_cached(following, history)
    reads = len(history.reads)
    for more in ({}, {"x_request_id": "req-7"}):
        async with following.request("GET", HISTORY, **more) as answer:
            assert (answer.status, await answer.read()) == (200, first)
            assert set(answer.headers) == set(headers)
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["cache-control"] == "private, no-cache"
            assert answer.headers["etag"] == 'W/"4"'
            assert answer.headers["x-request-id"] == more.get(
                "x_request_id", answer.headers["x-request-id"]
            )
    assert len(history.reads) == reads


async def test_every_response_has_its_own_request_id(following: Any, history: History) -> None:
    await wait_until_cached(following, history)
    ids = set()
    for _ in range(3):
        async with following.request("GET", HISTORY) as answer:
            ids.add(answer.headers["x-request-id"])
    assert len(ids) == 3


@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_matching_if_none_match_is_a_304(
    following: Any, history: History, is_kept: Any
) -> None:
    if is_kept:
        await wait_until_cached(following, history)
    for tag in ('W/"4"', '"4"', '"x", W/"4"', "*"):
        async with following.request("GET", HISTORY, if_none_match=tag) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
            assert answer.headers["etag"] == 'W/"4"'
            assert answer.headers["x-request-id"]
            assert "content-type" not in answer.headers
    for tag in ('W/"3"', '"44"', "4", ""):
        async with following.request("GET", HISTORY, if_none_match=tag) as answer:
            assert answer.status == 200


async def test_another_user_never_gets_a_cached_page(following: Any, history: History) -> None:
    await wait_until_cached(following, history)
    for other in ({"sub": "eve"}, {"tenant": "other", "sub": "ada2"}):
        assert await text(following, bearer=token(**other)) == (404, "session_not_found")
    for bearer in ("", "x", token() + "x", token(secret="another secret, of others, of 32 bytes")):
        status, code, _ = await following.expect_error("GET", HISTORY, bearer=bearer)
        assert status == 401, code
    assert await text(following) == "Hello"


async def test_an_expired_token_never_gets_a_cached_page(following: Any, history: History) -> None:
    # The leeway of verification is for clocks that differ; it is no longer life.
    soon = token(exp=int(time.time()) - 28)
    await wait_until_cached(following, history, bearer=token())
    assert await text(following, bearer=soon) == "Hello"

    async def refused() -> Any:
        async with following.request("GET", HISTORY, bearer=soon) as answer:
            return answer.status == 401

    await eventually(refused)


async def test_a_token_that_is_about_to_end_is_verified_again(
    following: Any, history: History
) -> None:
    await wait_until_cached(following, history)
    ends = int(time.time()) + 2
    await following.get(HISTORY, bearer=token(exp=ends))
    verified = following.app.tokens
    sent = f"Bearer {token(exp=ends)}".encode()
    assert verified.get(sent).valid_until <= ends
    await eventually(lambda: verified.get(sent) is None)


async def test_a_changed_session_is_read_again(
    following: Any, session: FakeSessionService, history: History
) -> None:
    await wait_until_cached(following, history)
    commit(session, history, 6, "Changed")
    assert await text(following) == "Changed"
    session.versions[SESSION_ID] = 0
    assert await text(following) == (404, "session_not_found")


async def test_a_page_that_lacks_a_committed_version_is_refused(
    following: Any, session: FakeSessionService, history: History
) -> None:
    await wait_until_cached(following, history)
    session.versions[SESSION_ID] = 5
    assert await text(following) == (503, "projection_behind")
    behind = f"{HISTORY}?allow_behind=true"
    for _ in range(2):
        async with following.request("GET", behind) as answer:
            page = await answer.json()
            assert (page["behind"], page["data"]) == (True, ["Hello"])
            assert "etag" not in answer.headers
    assert [read.query["min_version"] for read in history.reads[-2:]] == ["5", "5"]
    commit(session, history, 5, "Hello, you")
    assert await text(following, behind) == "Hello, you"


async def test_pages_of_the_past_need_not_have_the_last_write(
    following: Any, session: FakeSessionService, history: History
) -> None:
    session.versions[SESSION_ID] = 7
    assert await text(following, f"{HISTORY}?as_of=6") == "Hello"
    for as_of in ("7", "2026-01-01T00:00:00Z"):
        assert await text(following, f"{HISTORY}?as_of={as_of}") == (503, "projection_behind")


async def test_a_version_that_is_committed_while_history_waits_is_not_rejected(
    following: Any, session: FakeSessionService, history: History
) -> None:
    history.before_answer.clear()
    reading = asyncio.create_task(text(following, f"{HISTORY}?min_version=5"))
    await eventually(lambda: any(read.query["min_version"] == "5" for read in history.reads))
    session.versions[SESSION_ID] = 5
    history.before_answer.set()
    assert await reading == (503, "projection_behind")


async def test_a_version_that_does_not_exist_yet_is_rejected(following: Any) -> None:
    refused = await following.expect_error("GET", f"{HISTORY}?min_version=5")
    assert refused == (400, "invalid_request", "min_version")
    assert await text(following, f"{HISTORY}?min_version=4") == "Hello"


async def test_without_redis_and_session_no_page_is_served(
    following: Any, session: FakeSessionService, history: History
) -> None:
    await wait_until_cached(following, history)
    session.is_unavailable = True
    assert await text(following) == (503, "session_unavailable")


async def test_concurrent_reads_share_the_lookup_of_a_version(
    following: Any, session: FakeSessionService, history: History
) -> None:
    await wait_until_cached(following, history)
    before = session.version_requests
    assert await asyncio.gather(*(text(following) for _ in range(50))) == ["Hello"] * 50
    assert session.version_requests - before < 50


async def test_concurrent_requests_for_a_page_share_one_read(
    following: Any, history: History
) -> None:
    history.before_answer.clear()
    asked = [asyncio.create_task(text(following)) for _ in range(20)]
    await eventually(lambda: history.reads)
    history.before_answer.set()
    assert await asyncio.gather(*asked) == ["Hello"] * 20
    assert len(history.reads) < 5


async def test_reads_never_go_back_in_time(
    following: Any, session: FakeSessionService, history: History
) -> None:
    """Stale pages, hunted for while their sessions are written to."""
    sessions = [another_id() for _ in range(3)]
    for each in sessions:
        commit(session, history, 1, session_id=each)
    seen, done, asked = dict.fromkeys(sessions, 1), asyncio.Event(), 0

    async def write() -> None:
        for version in range(2, 100):
            commit(session, history, version, session_id=random.choice(sessions))
            await asyncio.sleep(random.random() / 100)
        done.set()

    async def read() -> None:
        nonlocal asked
        while not done.is_set():
            each, limit = random.choice(sessions), random.randint(1, 2)
            floor = seen[each]
            _, page = await following.get(f"/v1/history/{each}?limit={limit}")
            assert page["version"] >= floor
            seen[each] = max(page["version"], seen[each])
            asked += 1

    await asyncio.gather(write(), *(read() for _ in range(6)))
    assert asked - len(history.reads) > asked / 10
