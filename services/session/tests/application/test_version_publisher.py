"""Publishing versions: after a failure nothing is published until all versions are invalid."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast
from uuid import UUID, uuid4

import pytest

from parley_core.storage.version_cache import CommittedVersion, VersionCache
from parley_session.application import version_publisher
from parley_session.application.version_publisher import VersionPublisher
from parley_testing.eventually import eventually


class FakeCache:
    """Versions in memory, and whether the cache answers."""

    def __init__(self) -> None:
        self.is_up = True
        self.versions: dict[UUID, tuple[int, bool]] = {}
        self.epochs = 0
        self.ended_epochs = 0
        self.calls = 0
        self.answers = asyncio.Event()
        self.answers.set()

    async def publish(self, versions: Sequence[CommittedVersion]) -> bool:
        self.calls += 1
        await self.answers.wait()
        if self.is_up:
            self.versions |= {each.session_id: (each.version, each.gone) for each in versions}
        return self.is_up

    async def start_epoch(self) -> bool:
        self.epochs += self.is_up
        return self.is_up

    async def end_epoch(self) -> bool:
        if self.is_up:
            self.versions.clear()
            self.ended_epochs += 1
        return self.is_up


@pytest.fixture
def cache() -> FakeCache:
    return FakeCache()


@pytest.fixture
def publisher(cache: FakeCache, monkeypatch: pytest.MonkeyPatch) -> VersionPublisher:
    monkeypatch.setattr(version_publisher, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(version_publisher, "EPOCH_CHECK_SECONDS", 0.01)
    return VersionPublisher(cast(VersionCache, cache))


@asynccontextmanager
async def running(publisher: VersionPublisher) -> AsyncIterator[None]:
    task = asyncio.create_task(publisher.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_committed_version_is_published(
    publisher: VersionPublisher, cache: FakeCache
) -> None:
    session, erased = uuid4(), uuid4()
    await publisher.publish(session, 4, gone=False)
    await publisher.publish(erased, 5, gone=True)
    assert cache.versions == {session: (4, False), erased: (5, True)}


async def test_versions_committed_during_a_publication_are_published_in_one_call(
    publisher: VersionPublisher, cache: FakeCache
) -> None:
    cache.answers.clear()
    publications = [asyncio.create_task(publisher.publish(uuid4(), 1, gone=False))]
    await eventually(lambda: cache.calls == 1)
    publications += [asyncio.create_task(publisher.publish(uuid4(), 1, gone=False)) for _ in "abc"]
    await asyncio.sleep(0)
    cache.answers.set()
    await asyncio.gather(*publications)
    assert (len(cache.versions), cache.calls) == (4, 2)


async def test_without_a_cache_nothing_is_published() -> None:
    publisher = VersionPublisher(None)
    await publisher.publish(uuid4(), 1, gone=False)
    async with asyncio.timeout(15):
        await publisher.run()


async def test_after_a_failure_nothing_is_published_until_all_versions_are_invalid(
    publisher: VersionPublisher, cache: FakeCache
) -> None:
    first, second = uuid4(), uuid4()
    await publisher.publish(first, 2, gone=False)
    cache.is_up = False
    await publisher.publish(first, 3, gone=False)
    cache.is_up = True
    # Readers would trust the old version of the first session beside the new one of the second.
    await publisher.publish(second, 1, gone=False)
    assert cache.versions == {first: (2, False)}
    async with running(publisher):
        await eventually(lambda: cache.ended_epochs)
        await eventually(lambda: cache.epochs)
        assert cache.versions == {}
        await publisher.publish(second, 2, gone=False)
        assert cache.versions == {second: (2, False)}


async def test_a_version_skipped_while_versions_are_invalidated_invalidates_them_again(
    publisher: VersionPublisher, cache: FakeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.is_up = False
    await publisher.publish(uuid4(), 2, gone=False)
    cache.is_up = True
    end_epoch, session = cache.end_epoch, uuid4()

    async def end_epoch_while_a_command_commits() -> bool:
        if not cache.ended_epochs:
            await publisher.publish(session, 3, gone=False)
        return await end_epoch()

    monkeypatch.setattr(cache, "end_epoch", end_epoch_while_a_command_commits)
    async with running(publisher):
        await eventually(lambda: cache.ended_epochs == 2)
    assert session not in cache.versions


async def test_a_publication_that_is_cancelled_counts_as_failed(
    publisher: VersionPublisher, cache: FakeCache
) -> None:
    cache.answers.clear()
    publishing = asyncio.create_task(publisher.publish(uuid4(), 2, gone=False))
    await asyncio.sleep(0)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    cache.answers.set()
    async with running(publisher):
        await eventually(lambda: cache.ended_epochs)


async def test_epochs_are_started_again_and_again_as_a_flush_removes_them(
    publisher: VersionPublisher, cache: FakeCache
) -> None:
    async with running(publisher):
        await eventually(lambda: cache.epochs > 2)
    assert not cache.ended_epochs
