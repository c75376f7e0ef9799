import asyncio
from uuid import UUID

from parley_core.http.errors import Unavailable
from parley_inference.session.client import Heartbeat
from parley_inference.turns.heartbeat import MOST_NAMED, HeartbeatLoop
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
    running, holds_text = (TURN,), True

    def tidy(self):
        pass


async def test_the_next_heartbeat_comes_even_after_one_that_nobody_expected_to_fail(caplog):
    session = Beats()
    keeping = asyncio.create_task(HeartbeatLoop(session, OneTurn(), 0.001, 45).keep())
    await eventually(lambda: session.beats > 2)
    assert keeping.cancel()
    assert "RuntimeError" in caplog.text
    assert PRIVATE not in caplog.text


class Silent(Beats):
    async def heartbeat(self, turn_ids):
        self.beats += 1
        raise Unavailable("Away.", code="session_unavailable")


class Keeper(OneTurn):
    def __init__(self):
        self.forgot = self.erased = 0

    def erase(self, session_ids):
        self.erased += len(session_ids)

    def forget(self):
        self.forgot += 1


async def test_what_is_kept_is_forgotten_when_session_was_not_heard_for_long():
    keeper = Keeper()
    keeping = asyncio.create_task(HeartbeatLoop(Silent(), keeper, 0.001, 0.05).keep())
    await eventually(lambda: keeper.forgot)
    assert keeping.cancel()


async def test_it_is_forgotten_too_when_more_was_erased_than_session_names():
    class Many(Beats):
        async def heartbeat(self, turn_ids):
            return Heartbeat([], [UUID(int=number) for number in range(MOST_NAMED)])

    keeper = Keeper()
    keeping = asyncio.create_task(HeartbeatLoop(Many(), keeper, 0.001, 45).keep())
    await eventually(lambda: keeper.forgot and keeper.erased >= MOST_NAMED)
    assert keeping.cancel()


async def test_it_is_kept_while_session_is_away_for_a_moment():
    keeper, session = Keeper(), Silent()
    keeping = asyncio.create_task(HeartbeatLoop(session, keeper, 0.001, 45).keep())
    await eventually(lambda: session.beats > 3)
    assert keeper.forgot == 0
    assert keeping.cancel()
