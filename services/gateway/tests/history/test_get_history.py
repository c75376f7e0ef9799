"""History pages: cached, conditional, and never stale or of another user."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway, another_id
from gateway_fakes.history import History
from gateway_fakes.issuer import token

from parley_testing.eventually import eventually

HISTORY = f"/v1/history/{SESSION_ID}"
SETTLED = {"history.page_cache.SETTLE_SECONDS": 0.000_001}


@pytest.fixture
async def following(start: Callable[..., Awaitable[Gateway]], history: History) -> Any:
    """A gateway connected to the change feed."""
    gateway = await start(constants=SETTLED)
    await eventually(lambda: history.subscribers)
    history.project(SESSION_ID, 4, "Hello")
    return gateway


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
    else:
        history.disconnect_feed()
        await eventually(lambda: not history.subscribers)
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


async def test_a_changed_session_is_read_again(following: Any, history: History) -> None:
    await wait_until_cached(following, history)
    history.project(SESSION_ID, 6, "Changed")

    async def is_changed() -> Any:
        return await text(following) == "Changed"

    await eventually(is_changed)
    history.erase(SESSION_ID, 7)

    async def is_gone() -> Any:
        return await text(following) == (404, "session_not_found")

    await eventually(is_gone)


async def test_a_response_overtaken_by_a_change_is_not_cached(
    following: Any, history: History
) -> None:
    history.before_answer.clear()
    asked = asyncio.create_task(text(following))
    await eventually(lambda: history.reads)
    pages = following.app.pages
    history.project(SESSION_ID, 6, "Changed")
    await eventually(lambda: SESSION_ID in pages._changed_at)
    history.before_answer.set()
    assert await asked == "Hello"
    assert await text(following) == "Changed"


async def test_concurrent_requests_for_a_page_share_one_read(
    following: Any, history: History
) -> None:
    history.before_answer.clear()
    asked = [asyncio.create_task(text(following)) for _ in range(20)]
    await eventually(lambda: history.reads)
    history.before_answer.set()
    assert await asyncio.gather(*asked) == ["Hello"] * 20
    assert len(history.reads) < 5


async def test_concurrent_requests_for_an_uncacheable_page_each_read_it(
    following: Any, history: History
) -> None:
    history.before_answer.clear()
    asked = [asyncio.create_task(text(following)) for _ in range(5)]
    await eventually(lambda: history.reads)
    history.project(SESSION_ID, 6, "Changed")
    pages = following.app.pages
    await eventually(lambda: SESSION_ID in pages._changed_at)
    history.before_answer.set()
    first, *others = sorted(await asyncio.gather(*asked), reverse=True)
    assert (first, others) == ("Hello", ["Changed"] * 4)


@pytest.mark.parametrize("trouble", ["breaks", "is silent", "is not there"])
async def test_without_the_feed_every_page_is_read_from_history(
    start: Callable[..., Awaitable[Gateway]], history: History, trouble: Any
) -> None:
    gateway = await start(
        constants={
            **SETTLED,
            "history.page_cache.FEED_IDLE_TIMEOUT_SECONDS": 0.1,
            "history.invalidation_feed.FEED_IDLE_TIMEOUT_SECONDS": 0.1,
            "history.invalidation_feed.RECONNECT_MAX_SECONDS": 0.1,
        }
    )
    history.project(SESSION_ID, 4, "Hello")
    await wait_until_cached(gateway, history)
    history.has_feed = trouble != "is not there"
    history.is_silent = True
    if trouble != "is silent":
        history.disconnect_feed()

    async def is_read() -> Any:
        before = len(history.reads)
        await gateway.get(HISTORY)
        return len(history.reads) > before

    await eventually(is_read)
    history.sessions[str(SESSION_ID)].text = "Changed, and nobody heard of it"
    for _ in range(3):
        assert await text(gateway) == "Changed, and nobody heard of it"
    history.has_feed, history.is_silent = True, False
    await wait_until_cached(gateway, history)


async def test_reads_never_go_back_in_time(following: Any, history: History) -> None:
    """Stale pages, hunted for while their sessions are written to."""
    sessions = [another_id() for _ in range(3)]
    for session in sessions:
        history.project(session, 1)
    seen, done, asked = dict.fromkeys(sessions, 1), asyncio.Event(), 0

    async def write() -> None:
        for version in range(2, 100):
            history.project(random.choice(sessions), version)
            await asyncio.sleep(random.random() / 100)
        done.set()

    async def read() -> None:
        nonlocal asked
        while not done.is_set():
            session, limit = random.choice(sessions), random.randint(1, 2)
            floor = seen[session]
            _, page = await following.get(f"/v1/history/{session}?limit={limit}")
            assert page["version"] >= floor
            seen[session] = max(page["version"], seen[session])
            asked += 1

    await asyncio.gather(write(), *(read() for _ in range(6)))
    assert asked - len(history.reads) > asked / 10

    async def is_latest(session: str) -> Any:
        _, page = await following.get(f"/v1/history/{session}?limit=1")
        return page["version"] == history.sessions[session].version

    for session in sessions:
        await eventually(partial(is_latest, session))
