"""Records of reads leave connections to turns, however many wait for the end of the chain."""

import asyncio
from typing import Any, cast

import pytest

from parley_core.storage.postgres_pool import Pool
from parley_events.audit import AuditData
from parley_session.storage.audit import audit_store
from parley_session.storage.audit.audit_store import MAX_CONCURRENT_APPENDS, AuditStore
from parley_testing.eventually import eventually

RECORD = AuditData(action="messages.searched", outcome="allowed")


class SlowPool:
    """Counts the statements, which end once it is opened."""

    def __init__(self) -> None:
        self.running = self.most = self.ended = 0
        self.opened = asyncio.Event()

    async def execute(self, *_: Any) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.opened.wait()
        self.running -= 1
        self.ended += 1


async def test_records_that_wait_use_few_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_store, "_MAX_WAIT_SECONDS", 60)
    pool = SlowPool()
    store = AuditStore(cast(Pool, pool))
    appends = [asyncio.create_task(store.append([RECORD])) for _ in range(20)]
    await eventually(lambda: pool.running == MAX_CONCURRENT_APPENDS)
    pool.opened.set()
    await asyncio.gather(*appends)
    assert (pool.most, pool.ended) == (MAX_CONCURRENT_APPENDS, 20)


async def test_a_record_does_not_wait_for_others_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit_store, "_MAX_WAIT_SECONDS", 0.01)
    pool = SlowPool()
    store = AuditStore(cast(Pool, pool))
    appends = []
    for number in range(MAX_CONCURRENT_APPENDS):
        appends.append(asyncio.create_task(store.append([RECORD])))
        await eventually(lambda: pool.running > number)  # noqa: B023 - awaited at once.
    with pytest.raises(TimeoutError):
        await store.append([RECORD])
    pool.opened.set()
    await asyncio.gather(*appends)
    await store.append([RECORD])
    assert pool.ended == MAX_CONCURRENT_APPENDS + 1
