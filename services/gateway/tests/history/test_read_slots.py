"""Uncached reads of one person: few at a time, and cached pages and other people do not wait."""

import asyncio
from collections.abc import Awaitable, Callable

from gateway_fakes.gateway import SESSION_ID, Gateway, another_id
from gateway_fakes.history import History
from gateway_fakes.issuer import token

from parley_testing.eventually import eventually

Start = Callable[..., Awaitable[Gateway]]


async def status(gateway: Gateway, session_id: str, **more: str) -> tuple[int, str | None]:
    status, page = await gateway.get(f"/v1/history/{session_id}", **more)
    return status, page.get("error", {}).get("code")


async def test_further_reads_of_a_person_wait_while_everything_else_is_answered(
    start: Start, history: History
) -> None:
    gateway = await start({"history.read_slots.MAX_READS_PER_PERSON": 2})
    for_ada, for_grace, cached = [another_id() for _ in range(5)], another_id(), str(SESSION_ID)
    for session_id in (*for_ada, cached):
        history.project(session_id, 1)
    history.project(for_grace, 1, owner="grace")

    async def is_cached() -> bool:
        reads = len(history.reads)
        return await status(gateway, cached) == (200, None) and len(history.reads) == reads

    await eventually(is_cached)
    history.before_answer.clear()
    before = len(history.reads)
    reads = [asyncio.create_task(status(gateway, each)) for each in for_ada]
    await eventually(lambda: len(history.reads) == before + 2)
    reads.append(asyncio.create_task(status(gateway, for_grace, bearer=token(sub="grace"))))
    await eventually(lambda: len(history.reads) == before + 3)
    assert history.reads[-1].principal.user == "grace"
    assert await status(gateway, cached) == (200, None)
    assert len(history.reads) == before + 3
    history.before_answer.set()
    assert set(await asyncio.gather(*reads)) == {(200, None)}


async def test_a_read_that_waits_too_long_is_refused(start: Start, history: History) -> None:
    gateway = await start(
        {"history.read_slots.MAX_READS_PER_PERSON": 1, "history.read_slots.MAX_WAIT_SECONDS": 0.05}
    )
    first, second = another_id(), another_id()
    for session_id in (first, second):
        history.project(session_id, 1)
    history.before_answer.clear()
    read = asyncio.create_task(status(gateway, first))
    await eventually(lambda: history.reads)
    assert await status(gateway, second) == (429, "too_many_waiting_reads")
    history.before_answer.set()
    assert await read == (200, None)
    assert await status(gateway, second) == (200, None)
