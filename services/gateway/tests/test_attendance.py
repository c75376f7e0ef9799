"""Why work for a client is over: it is done, or nobody waits for it any more."""

import asyncio

import pytest

from parley_gateway.http.request_lifetime import RequestLifetime


async def nobody_leaves():
    await asyncio.Event().wait()


async def leaves():
    return {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("receive", "stops"), [(nobody_leaves, True), (leaves, False)], ids=["stopping", "left"]
)
async def test_work_that_is_done_while_it_may_not_be_given_up_yet_is_done(receive, stops):
    stop = asyncio.get_running_loop().create_future()
    if stops:
        stop.set_result(None)
    may_end = asyncio.Event()
    work = asyncio.create_task(may_end.wait())
    asyncio.get_running_loop().call_later(0.02, may_end.set)
    ending = await RequestLifetime(receive, stop, asyncio.Event()).during(work, hand_over_within=5)
    assert (ending, work.result()) == ("done", True)


async def test_work_that_was_handed_over_is_given_up_when_its_client_leaves():
    stop, handed_over = asyncio.get_running_loop().create_future(), asyncio.Event()
    handed_over.set()
    work = asyncio.create_task(asyncio.Event().wait())
    ending = await RequestLifetime(leaves, stop, handed_over).during(work, hand_over_within=5)
    assert (ending, work.cancelled()) == ("left", True)
