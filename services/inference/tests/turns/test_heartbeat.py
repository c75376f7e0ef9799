import asyncio
from collections.abc import AsyncIterator, Sequence, Set
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from parley_contracts.session_api.turns import HeartbeatResponse
from parley_core.http.errors import Unavailable
from parley_inference.turns import heartbeat
from parley_inference.turns.heartbeat import MAX_ERASED_PER_ANSWER, HeartbeatClient, HeartbeatLoop
from parley_testing.eventually import eventually

TURN = UUID(int=1)
PRIVATE = "private words"


class FailingSession:
    def __init__(self, error: Exception) -> None:
        self.error, self.heartbeats = error, 0

    async def heartbeat(self, turn_ids: Sequence[UUID], capacity: int) -> HeartbeatResponse:
        self.heartbeats += 1
        raise self.error


class AnsweringSession:
    def __init__(self, *erased: UUID) -> None:
        self.erased = [*erased]

    async def heartbeat(self, turn_ids: Sequence[UUID], capacity: int) -> HeartbeatResponse:
        return HeartbeatResponse([], self.erased)


class Opener:
    capacity = 5


class OneTurn:
    owned: Sequence[UUID] = (TURN,)

    def __init__(self) -> None:
        self.erased = 0

    def stop(self, turn_id: UUID, reason: str) -> None:
        raise NotImplementedError

    def erase(self, session_ids: Set[UUID]) -> None:
        self.erased += len(session_ids)


class Caches:
    def __init__(self) -> None:
        self.cleared = self.erased = 0

    def expire(self) -> None:
        pass

    def erase(self, session_ids: Set[UUID]) -> None:
        self.erased += len(session_ids)

    def clear(self) -> None:
        self.cleared += 1


@asynccontextmanager
async def beating(session: HeartbeatClient, turns: OneTurn, caches: Caches) -> AsyncIterator[None]:
    task = asyncio.create_task(HeartbeatLoop(session, Opener(), turns, caches).run())
    yield
    assert task.cancel()


@pytest.fixture(autouse=True)
def short_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "INTERVAL_SECONDS", 0.001)


async def test_heartbeats_continue_after_an_unexpected_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = FailingSession(RuntimeError(PRIVATE))
    async with beating(session, OneTurn(), Caches()):
        await eventually(lambda: session.heartbeats > 2)
    assert "RuntimeError" in caplog.text
    assert PRIVATE not in caplog.text


async def test_caches_are_cleared_when_session_has_not_answered_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heartbeat, "MAX_STALENESS_SECONDS", 0.05)
    caches = Caches()
    session = FailingSession(Unavailable("down", code="session_unavailable"))
    async with beating(session, OneTurn(), caches):
        await eventually(lambda: caches.cleared)


async def test_caches_are_cleared_when_an_answer_may_not_list_all_erased_sessions() -> None:
    erased = [UUID(int=number) for number in range(MAX_ERASED_PER_ANSWER)]
    turns, caches = OneTurn(), Caches()
    async with beating(AnsweringSession(*erased), turns, caches):
        await eventually(lambda: caches.cleared and caches.erased >= MAX_ERASED_PER_ANSWER)
        await eventually(lambda: turns.erased >= MAX_ERASED_PER_ANSWER)


async def test_caches_survive_a_short_outage_of_session() -> None:
    caches = Caches()
    session = FailingSession(Unavailable("down", code="session_unavailable"))
    async with beating(session, OneTurn(), caches):
        await eventually(lambda: session.heartbeats > 3)
        assert caches.cleared == 0
