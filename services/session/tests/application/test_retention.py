"""The retention job erases due sessions only, also with concurrent and killed jobs."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families
from session_support.service import MASTER_KEY, keyring_of

from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool, open_pool
from parley_session.application.command_executor import CommandExecutor
from parley_session.application.retention import Retention, RetentionLimits
from parley_session.application.sessions.delete_session import SessionDeletion
from parley_session.domain.retention_policy import RetentionPolicies, RetentionPolicy
from parley_session.domain.session.commands import (
    ChangeSession,
    Command,
    DeleteSession,
    RestoreSession,
    SetLegalHold,
    StartSession,
)
from parley_session.storage.event_store import EventStore
from parley_session.storage.session_index import SessionIndex
from parley_testing.eventually import eventually

DAY = timedelta(days=1)
NONE = RetentionPolicies()


def executor_on(pool: Pool, *, ago: timedelta = timedelta(0)) -> CommandExecutor:
    store = EventStore(pool, keyring_of(MASTER_KEY), max_cache_bytes=1_000_000)
    return CommandExecutor(store, max_attempts=8, clock=lambda: datetime.now(UTC) - ago)


def retention_on(
    pool: Pool,
    policies: RetentionPolicies = NONE,
    *,
    deletion: SessionDeletion | None = None,
    **limits: Any,
) -> Retention:
    given = {"interval_seconds": 0.02, "scan_batch": 1_000, "erase_batch": 1_000}
    return Retention(
        pool, deletion or deletion_on(pool), policies, RetentionLimits(**given | limits)
    )


def deletion_on(pool: Pool, form: type[SessionDeletion] = SessionDeletion) -> SessionDeletion:
    return form(
        executor_on(pool),
        SessionIndex(pool),
        undelete_days=lambda _, __: 0,
        clock=lambda: datetime.now(UTC),
    )


async def start(
    pool: Pool,
    *commands: Command,
    tenant: str = "default",
    assistant_id: str = "helper",
    ends: timedelta | None = None,
    ago: timedelta = timedelta(0),
) -> UUID:
    """A session started and changed so long ago."""
    session_id, executor = uuid4(), executor_on(pool, ago=ago)
    expires_at = None if ends is None else datetime.now(UTC) + ends
    begin = StartSession(session_id, assistant_id, 1, "Title", expires_at=expires_at)
    caller = Caller(Principal(tenant, "ada", frozenset({"admin"})), "req-1")
    for command in (begin, *commands):
        await executor.execute(session_id, partial(_constant, command), caller)
    return session_id


async def erased(pool: Pool) -> dict[UUID, str]:
    """The erase reason of each session, from its event; its key must be destroyed."""
    rows = await pool.fetch(
        """
        SELECT session_id, data->>'reason' AS reason, wrapped_key IS NULL AS gone
        FROM events JOIN sessions ON sessions.id = session_id
        WHERE type = 'parley.session.session_erased.v1'
        """
    )
    assert all(row["gone"] for row in rows)
    assert len({row["session_id"] for row in rows}) == len(rows)
    return {row["session_id"]: row["reason"] for row in rows}


def deleted(ends: timedelta) -> DeleteSession:
    return DeleteSession(datetime.now(UTC) + ends)


HELD = ChangeSession([SetLegalHold(True)])


async def test_only_due_sessions_are_erased(pool: Pool) -> None:
    expired = await start(pool, ends=-DAY)
    window_over = await start(pool, deleted(-DAY))
    await start(pool)
    await start(pool, ends=DAY)
    await start(pool, deleted(DAY))
    await start(pool, deleted(-DAY), RestoreSession())
    await start(pool, HELD, ends=-DAY)
    assert await retention_on(pool).tick() == 2
    assert await erased(pool) == {expired: "expired", window_over: "deleted"}
    assert await retention_on(pool).tick() == 0


async def test_idle_sessions_are_erased_by_the_most_specific_policy(pool: Pool) -> None:
    policies = RetentionPolicies(
        [
            RetentionPolicy(idle_days=30),
            RetentionPolicy(tenant="quick", idle_days=2),
            RetentionPolicy(tenant="archive", idle_days="never"),
            RetentionPolicy(assistant_id="coder", idle_days=10),
        ]
    )
    gone = [
        await start(pool, ago=31 * DAY),
        await start(pool, tenant="quick", ago=3 * DAY),
        await start(pool, assistant_id="coder", ago=11 * DAY),
    ]
    await start(pool, ago=29 * DAY)
    await start(pool, tenant="quick", ago=DAY)
    await start(pool, tenant="archive", ago=300 * DAY)
    await start(pool, HELD, ago=300 * DAY)
    assert await retention_on(pool, policies).tick() == 3
    assert await erased(pool) == dict.fromkeys(gone, "idle")
    assert await retention_on(pool, NONE).tick() == 0


async def test_a_tick_scans_a_batch_and_the_next_ticks_continue(pool: Pool) -> None:
    gone = [await start(pool, ago=2 * DAY) for _ in range(7)]
    gone += [await start(pool, ends=-DAY) for _ in range(5)]
    for _ in range(9):
        await start(pool)
    retention = retention_on(
        pool, RetentionPolicies([RetentionPolicy(idle_days=1)]), scan_batch=4, erase_batch=3
    )
    ticks = [await retention.tick() for _ in range(14)]
    assert sum(ticks) == 12
    assert max(ticks) == 3
    assert set(await erased(pool)) == set(gone)
    # The scan starts over.
    repeated = await start(pool, ago=2 * DAY)
    assert sum([await retention.tick() for _ in range(12)]) == 1
    assert repeated in await erased(pool)


async def test_concurrent_jobs_erase_each_session_once(pool: Pool, migrated_database: str) -> None:
    gone = {await start(pool, ends=-DAY) for _ in range(20)}
    async with open_pool(
        migrated_database, max_connections=4, timeout_seconds=10, application_name="other"
    ) as other:
        jobs = [retention_on(each, erase_batch=4) for each in (pool, other, pool)]
        found = [sum(await asyncio.gather(*(job.tick() for job in jobs))) for _ in range(12)]
    assert sum(found) == 20
    assert set(await erased(pool)) == gone


class StopsAtTheThird(SessionDeletion):
    """Erases two sessions, then blocks."""

    stopped: asyncio.Event
    done = 0

    async def erase(self, *arguments: Any, **more: Any) -> bool:
        self.done += 1
        if self.done == 3:
            self.stopped.set()
            await asyncio.Event().wait()
        return await super().erase(*arguments, **more)


async def test_another_job_continues_after_one_died(pool: Pool, migrated_database: str) -> None:
    gone = {await start(pool, ends=-DAY) for _ in range(5)}
    async with open_pool(
        migrated_database, max_connections=2, timeout_seconds=10, application_name="dies"
    ) as dying:
        erasing = deletion_on(dying, StopsAtTheThird)
        assert isinstance(erasing, StopsAtTheThird)
        erasing.stopped = asyncio.Event()
        dies = asyncio.create_task(retention_on(dying, deletion=erasing).tick())
        await erasing.stopped.wait()
        # No other job works while it holds the lock.
        assert await retention_on(pool).tick() == 0
        await pool.execute(
            """
            SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
            WHERE application_name = 'dies'
            """
        )
        assert await retention_on(pool).tick() == 3
        dies.cancel()
        await asyncio.gather(dies, return_exceptions=True)
    assert set(await erased(pool)) == gone


async def test_a_session_that_cannot_be_erased_delays_no_other(
    pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    broken = await start(pool, ends=-2 * DAY)
    await pool.execute("DELETE FROM events WHERE session_id = $1", broken)
    gone = await start(pool, ends=-DAY)
    retention = retention_on(pool, erase_batch=1)
    assert [await retention.tick() for _ in range(4)].count(1) == 1
    assert await erased(pool) == {gone: "expired"}
    assert f"session {broken} could not be erased: BrokenStream" in caplog.text


@pytest.fixture
async def running(pool: Pool) -> AsyncIterator[Retention]:
    retention = retention_on(pool)
    task = asyncio.create_task(retention.run())
    yield retention
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_job_recovers_after_a_database_outage(
    pool: Pool, running: Retention, caplog: pytest.LogCaptureFixture
) -> None:
    await pool.execute("ALTER TABLE sessions RENAME TO away")
    await eventually(lambda: "retention: UndefinedTableError" in caplog.text)
    await pool.execute("ALTER TABLE away RENAME TO sessions")
    gone = await start(pool, ends=-DAY)

    async def is_erased() -> bool:
        return gone in await erased(pool)

    await eventually(is_erased)


async def test_the_process_erases_sessions_and_counts_them(
    serve: Any, pool: Pool, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    policies = tmp_path / "policies.yaml"
    policies.write_text("policies: [{idle_days: 1}]")
    await start(pool, ago=2 * DAY)
    await start(pool, ends=-DAY)
    session = await serve(
        session_retention_policy_path=policies,
        RETENTION_LIMITS=RetentionLimits(interval_seconds=0.05),
    )

    async def counted() -> dict[str, float]:
        async with session.http.get(session.url + "/metrics") as response:
            families = text_string_to_metric_families(await response.text())
        samples = [sample for family in families for sample in family.samples]
        named = [each for each in samples if each.name == "parley_session_sessions_erased_total"]
        return {each.labels["reason"]: each.value for each in named}

    async def both() -> bool:
        return await counted() == {"expired": 1, "idle": 1}

    await eventually(both)
    asked = (await session.start())["id"]
    assert (await session.call("DELETE", f"/sessions/{asked}")).status == 200
    assert await counted() == {"expired": 1, "idle": 1, "requested": 1}
    assert "erased sessions: 1 expired, 1 idle" in caplog.text


def _constant(command: Command, _: object) -> Command:
    """Issue this command whatever the state of the session is."""
    return command


@pytest.mark.parametrize("change", [RestoreSession(), HELD], ids=["restored", "held"])
async def test_a_session_that_changed_after_it_was_listed_is_not_erased(
    pool: Pool, change: Command
) -> None:
    await start(pool, deleted(-DAY))

    class ChangedOnceListed(SessionDeletion):
        async def erase(self, session_id: UUID, *given: Any, **more: Any) -> bool:
            caller = Caller(Principal("default", "ada", frozenset({"admin"})), "req-1")
            await executor_on(pool).execute(session_id, lambda _: change, caller)
            return await super().erase(session_id, *given, **more)

    assert await retention_on(pool, deletion=deletion_on(pool, ChangedOnceListed)).tick() == 0
    assert await erased(pool) == {}
