import asyncio
from uuid import UUID

from parley_inference.lease import Lease
from parley_testing.eventually import eventually

TURN = UUID(int=1)
PRIVATE = "private words"


class Beats:
    def __init__(self):
        self.beats = 0

    async def heartbeat(self, turn_ids):
        self.beats += 1
        raise RuntimeError(PRIVATE)


class OneTurn:
    running = (TURN,)

    def tidy(self):
        pass


async def test_the_next_heartbeat_comes_even_after_one_that_nobody_expected_to_fail(caplog):
    session = Beats()
    keeping = asyncio.create_task(Lease(session, OneTurn(), 0.001).keep())
    await eventually(lambda: session.beats > 2)
    assert keeping.cancel()
    assert "RuntimeError" in caplog.text
    assert PRIVATE not in caplog.text
