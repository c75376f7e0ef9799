"""Two gateways and two history-serve: people read their own writes at once, through any of them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from e2e_support.stack import Stack
from e2e_support.user import User
from redis.asyncio import Redis

pytestmark = pytest.mark.asyncio(loop_scope="session")

TURNS = 25

Disturbance = Callable[[], Awaitable[None]]


async def nothing() -> None:
    pass


async def read(client: User, path: str) -> Any:
    """A page, over a connection of its own."""
    response = await client.request("GET", path, headers={"connection": "close"})
    assert response.status_code == 200, response.text
    return response.json()


def newest_id(page: Any) -> Any:
    return page["data"][0]["id"]


async def stale_reads(clients: list[User], turns: int, meanwhile: Disturbance = nothing) -> int:
    """Pages read right after a turn, through each gateway twice, without the reply or the session.

    `meanwhile` runs beside the turn, and beside the reads.
    """
    sessions, stale = [await clients[0].start_session() for _ in range(2)], 0
    for number in range(turns):
        session = sessions[number % 2]
        turn, _ = await asyncio.gather(clients[number % 2].send(session, "Hello?"), meanwhile())
        _, *pages = await asyncio.gather(
            meanwhile(), *(read(client, f"/history/{session}") for client in clients * 2)
        )
        stale += sum(page["data"][0]["id"] != turn["reply"]["id"] for page in pages)
        for page in await asyncio.gather(*(read(client, "/sessions") for client in clients)):
            newest = page["data"][0]
            stale += newest["id"] != session or newest["version"] < turn["version"]
    return stale


async def test_no_read_after_a_turn_lacks_the_reply_through_any_replica(
    clients: list[User],
) -> None:
    assert await stale_reads(clients, TURNS) == 0


async def test_no_read_is_stale_while_redis_is_flushed(clients: list[User], stack: Stack) -> None:
    async with Redis.from_url(stack.redis_url) as redis:

        async def flush() -> None:
            await redis.flushall()

        assert await stale_reads(clients, TURNS, flush) == 0


async def test_no_read_is_stale_while_redis_hangs_and_after_it_continues(
    clients: list[User], stack: Stack
) -> None:
    session = await clients[0].start_session()
    for _ in range(3):
        turn = await clients[0].send(session, "Hello?")
        await asyncio.gather(*(read(client, f"/history/{session}") for client in clients))
        async with stack.paused("redis"):
            turn = await clients[0].send(session, "Hello again?")
            for client in clients:
                page = await read(client, f"/history/{session}")
                assert page["data"][0]["id"] == turn["reply"]["id"]
            turn = await clients[0].send(session, "And again?")
        for client in clients * 2:
            page = await read(client, f"/history/{session}")
            assert page["data"][0]["id"] == turn["reply"]["id"]
    assert await stale_reads(clients, TURNS) == 0


async def test_no_read_is_stale_while_redis_is_killed_and_restarts(
    clients: list[User], stack: Stack
) -> None:
    session = await clients[0].start_session()
    for _ in range(2):
        await clients[0].send(session, "Hello?")
        await asyncio.gather(*(read(client, f"/history/{session}") for client in clients))
        before = stack.pid("redis")
        stack.kill("redis")
        turn = await clients[1].send_with_retries(session, "Hello again?")
        for client in clients * 2:
            response = await client.request("GET", f"/history/{session}")
            assert response.status_code == 503 or newest_id(response.json()) == turn["reply"]["id"]
        await stack.wait_until_restarted("redis", before)
        turn = await clients[0].send_with_retries(session, "And again?")
        for client in clients * 2:
            answered = await client.request_with_retries("GET", f"/history/{session}")
            assert newest_id(answered) == turn["reply"]["id"]
    assert await stale_reads(clients, TURNS) == 0


async def test_an_erased_session_is_gone_at_once_through_the_other_gateway(
    clients: list[User],
) -> None:
    first, second = clients
    for _ in range(10):
        session = await first.start_session()
        await first.send(session, "Secret")
        for _ in range(2):  # The second page is cached.
            assert (await second.get(f"/history/{session}"))["data"]
        await first.delete(f"/sessions/{session}")
        status, error = await second.expect_error("GET", f"/history/{session}")
        assert (status, error["code"]) == (404, "session_not_found")
        assert session not in {each["id"] for each in (await second.get("/sessions"))["data"]}
