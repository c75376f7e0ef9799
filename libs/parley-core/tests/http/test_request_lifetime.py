"""Why the work of a request ended."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from parley_core.http.request_lifetime import RequestLifetime


async def never_disconnects() -> None:
    await asyncio.Event().wait()


async def disconnects() -> dict[str, str]:
    return {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("receive", "stops"),
    [(never_disconnects, True), (disconnects, False)],
    ids=["stopping", "disconnected"],
)
async def test_work_that_finishes_before_its_handover_is_done(
    receive: Callable[..., Any], stops: bool
) -> None:
    stop = asyncio.get_running_loop().create_future()
    if stops:
        stop.set_result(None)
    may_end = asyncio.Event()
    work = asyncio.create_task(may_end.wait())
    asyncio.get_running_loop().call_later(0.02, may_end.set)
    reason = await RequestLifetime(receive, stop, asyncio.Event()).supervise(
        work, handover_timeout=5
    )
    assert (reason, work.result()) == ("done", True)


async def test_work_that_was_handed_over_is_given_up_when_its_client_leaves() -> None:
    stop, handed_over = asyncio.get_running_loop().create_future(), asyncio.Event()
    handed_over.set()
    work = asyncio.create_task(asyncio.Event().wait())
    reason = await RequestLifetime(disconnects, stop, handed_over).supervise(
        work, handover_timeout=5
    )
    assert (reason, work.cancelled()) == ("disconnected", True)
