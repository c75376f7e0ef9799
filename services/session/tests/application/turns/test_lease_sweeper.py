"""The sweeper ends abandoned turns once, and only after their lease."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from session_support.components import LEASE, Components, components_on
from session_support.service import Service

from parley_core.storage.postgres_pool import Pool
from parley_session.application.turns.lease_sweeper import LeaseSweeper
from parley_testing.eventually import eventually
from parley_testing.recorded_spans import ids_of, recorded_spans, traceparent_of

Turns = Sequence[dict[str, Any]]


@asynccontextmanager
async def sweeping(*sweepers: LeaseSweeper) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(sweeper.run()) for sweeper in sweepers]
    try:
        yield
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def a_lease_passes(pool: Pool, seconds: float = LEASE + 1) -> None:
    """Shifts all times into the past, except those of the sweeper."""
    await pool.execute(
        "UPDATE turns SET opened_at = opened_at - $1 * interval '1 s',"
        " claimed_at = claimed_at - $1 * interval '1 s'",
        seconds,
    )
    await pool.execute("UPDATE runners SET seen_at = seen_at - $1 * interval '1 s'", seconds)


async def the_sweeper_was_away(pool: Pool, seconds: float = 4) -> None:
    await pool.execute("UPDATE sweeper SET last_tick = now() - $1 * interval '1 s'", seconds)


async def statuses(session: Service, turns: Turns) -> list[str]:
    return [(await session.turn(turn["id"]))["status"] for turn in turns]


async def claimed(session: Service, runner: str) -> dict[str, Any]:
    turn = await session.open_turn()
    assert (await session.claim(turn["id"], runner))["claimed"]
    return turn


async def test_a_turn_unclaimed_for_a_lease_is_interrupted(
    session: Service, components: Components, pool: Pool
) -> None:
    turn = await session.open_turn()
    await components.sweeper().sweep()
    assert await statuses(session, [turn]) == ["running"]
    await a_lease_passes(pool)
    await components.sweeper().sweep()
    ended = await session.turn(turn["id"])
    assert (ended["status"], ended["error"]["code"]) == ("failed", "interrupted")
    assert ended["error"]["message"].startswith("The reply was interrupted")
    assert ended["reply"]["content"] == ""


async def test_a_turn_without_a_heartbeat_for_a_lease_is_interrupted(
    session: Service, components: Components, pool: Pool
) -> None:
    runner = str(uuid4())
    turn = await claimed(session, runner)
    await session.heartbeat(runner, turn["id"])
    await a_lease_passes(pool, LEASE - 1)
    await components.sweeper().sweep()
    assert await statuses(session, [turn]) == ["running"]
    await a_lease_passes(pool)
    await components.sweeper().sweep()
    assert await statuses(session, [turn]) == ["failed"]
    # The runner is stopped by its next heartbeat, and its end comes too late.
    assert await session.heartbeat(runner, turn["id"]) == {turn["id"]: "not_yours"}
    late = await session.complete(turn["id"], runner)
    assert (late.status, late.body["error"]["code"]) == (200, "interrupted")


async def test_the_first_lease_starts_with_the_claim(
    session: Service, components: Components, pool: Pool
) -> None:
    turn = await session.open_turn()
    await a_lease_passes(pool)
    await session.claim(turn["id"], str(uuid4()))
    await components.sweeper().sweep()
    assert await statuses(session, [turn]) == ["running"]
    await a_lease_passes(pool)
    await components.sweeper().sweep()
    assert await statuses(session, [turn]) == ["failed"]


async def test_a_repeated_claim_does_not_extend_the_lease(
    session: Service, components: Components, pool: Pool
) -> None:
    runner = str(uuid4())
    turn = await claimed(session, runner)
    await a_lease_passes(pool)
    await session.claim(turn["id"], runner)
    await components.sweeper().sweep()
    assert await statuses(session, [turn]) == ["failed"]


async def test_a_turn_in_the_heartbeats_of_its_runner_is_not_ended(
    session: Service, components: Components, pool: Pool
) -> None:
    runner, silent = str(uuid4()), str(uuid4())
    named, unnamed = await claimed(session, runner), await claimed(session, runner)
    others = await claimed(session, silent)
    await a_lease_passes(pool, 100 * LEASE)
    # A heartbeat for the turn of another runner does not extend its lease.
    await session.heartbeat(runner, named["id"], others["id"])
    await components.sweeper().sweep()
    assert await statuses(session, [named, unnamed, others]) == ["running", "failed", "failed"]


async def test_an_abandoned_cancelled_turn_ends_as_cancelled(
    session: Service, components: Components, pool: Pool
) -> None:
    turn = await session.open_turn()
    await components.cancel(turn)
    await a_lease_passes(pool)
    await components.sweeper().sweep()
    assert await statuses(session, [turn]) == ["cancelled"]


async def test_a_session_accepts_messages_after_an_interrupted_turn(
    session: Service, components: Components, pool: Pool
) -> None:
    turn = await session.open_turn()
    await a_lease_passes(pool)
    await components.sweeper().sweep()
    assert (await session.submit(turn["session_id"], "again"))["status"] == "running"


async def test_the_process_sweeps_with_its_settings(serve: Any, pool: Pool) -> None:
    session = await serve(session_turn_lease_seconds=0.2, SWEEP_INTERVAL_SECONDS=0.02)
    turn = await session.open_turn()

    async def interrupted() -> bool:
        return await statuses(session, [turn]) == ["failed"]

    await eventually(interrupted)


async def test_heartbeats_extend_the_lease_many_times(serve: Any, pool: Pool) -> None:
    session = await serve(session_turn_lease_seconds=0.4, SWEEP_INTERVAL_SECONDS=0.02)
    runner = str(uuid4())
    runs = await claimed(session, runner)

    async def beats_while_others_end() -> bool:
        await session.heartbeat(runner, runs["id"])
        return await statuses(session, [unclaimed]) == ["failed"]

    for _ in range(3):
        unclaimed = await session.open_turn()
        await eventually(beats_while_others_end)
    assert await statuses(session, [runs]) == ["running"]


async def test_after_its_own_outage_the_sweeper_waits_for_a_lease(
    session: Service, components: Components, pool: Pool
) -> None:
    assert await components.turns.tick(LEASE)
    await the_sweeper_was_away(pool)
    assert not await components.turns.tick(LEASE)
    # The grace period lasts for several ticks, and ends.
    assert not await components.turns.tick(LEASE)
    await pool.execute("UPDATE sweeper SET quiet_until = quiet_until - interval '9 s'")
    assert not await components.turns.tick(LEASE)
    await pool.execute("UPDATE sweeper SET quiet_until = quiet_until - interval '1 s'")
    assert await components.turns.tick(LEASE)


async def test_a_short_outage_of_the_sweeper_changes_nothing(
    components: Components, pool: Pool
) -> None:
    await the_sweeper_was_away(pool, 2)
    assert await components.turns.tick(LEASE)


async def test_a_turn_lost_during_an_outage_of_session_ends_a_lease_later(
    serve: Any, pool: Pool
) -> None:
    turn = await (await serve(SWEEP_INTERVAL_SECONDS=2)).open_turn()
    await a_lease_passes(pool)
    await the_sweeper_was_away(pool)
    session = await serve(session_turn_lease_seconds=0.5, SWEEP_INTERVAL_SECONDS=0.02)

    async def interrupted() -> bool:
        return await statuses(session, [turn]) == ["failed"]

    await eventually(interrupted)
    assert await pool.fetchval(
        """
        SELECT time >= (SELECT quiet_until FROM sweeper) FROM events
        WHERE type LIKE '%reply_failed%'
        """
    )


async def test_concurrent_sweepers_end_a_turn_once(
    session: Service, components: Components, pool: Pool
) -> None:
    turns = [await session.open_turn() for _ in range(5)]
    await a_lease_passes(pool)
    others = [components_on(pool) for _ in range(4)]
    await asyncio.gather(*(each.sweeper().sweep() for each in (components, *others)))
    assert await statuses(session, turns) == ["failed"] * 5
    assert await pool.fetchval("SELECT count(*) FROM events WHERE sequence > 3") == 5


async def test_a_sweep_ends_a_bounded_number_of_turns_oldest_first(
    session: Service, components: Components, pool: Pool
) -> None:
    turns = [await session.open_turn() for _ in range(3)]
    await a_lease_passes(pool)
    await components.sweeper(max_turns=2).sweep()
    assert await statuses(session, turns) == ["failed", "failed", "running"]


async def test_a_session_that_cannot_be_decoded_blocks_no_other(
    session: Service, components: Components, pool: Pool
) -> None:
    broken, well = await session.open_turn(), await session.open_turn()
    damage = "UPDATE sessions SET wrapped_key = '\\x01' WHERE id = $1"
    await pool.execute(damage, UUID(broken["session_id"]))
    await a_lease_passes(pool)

    async def ended() -> bool:
        return await statuses(session, [well]) == ["failed"]

    async with sweeping(components.sweeper()):
        await eventually(ended)


async def test_the_sweeper_recovers_after_a_database_failure(
    session: Service, components: Components, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    turn = await session.open_turn()
    await a_lease_passes(pool)
    await pool.execute("ALTER TABLE sweeper RENAME TO sweeper_away")

    async def ended() -> bool:
        return await statuses(session, [turn]) == ["failed"]

    async with sweeping(components.sweeper()):
        try:
            await eventually(lambda: "sweeper" in caplog.text)
            assert await statuses(session, [turn]) == ["running"]
        finally:
            await pool.execute("ALTER TABLE sweeper_away RENAME TO sweeper")
        await eventually(ended)


async def test_expired_idempotency_records_and_runners_are_deleted(
    session: Service, components: Components, pool: Pool
) -> None:
    await session.call("POST", "/sessions", {}, key="recent")
    old, recent = str(uuid4()), str(uuid4())
    await session.heartbeat(old)
    await session.heartbeat(recent)
    last_seen = "UPDATE runners SET seen_at = now() - interval '61 minutes' WHERE id = $1"
    await pool.execute(last_seen, UUID(old))
    await pool.execute(
        """
        INSERT INTO remembered_requests (request, session_id, fingerprint, created_at)
        SELECT int4send(n), gen_random_uuid(), '', now() - interval '25 hours'
        FROM generate_series(1, 12000) AS n
        """
    )
    await components.turns.delete_expired(24)
    assert await pool.fetchval("SELECT count(*) FROM remembered_requests") == 1
    assert await pool.fetchval(
        "SELECT array_agg(id::text) FROM runners WHERE seen_at <= now()"
    ) == [recent]


async def test_an_interrupted_turn_continues_the_trace_of_its_request(
    session: Service, components: Components, pool: Pool
) -> None:
    turn = await session.open_turn()
    await pool.execute("UPDATE events SET traceparent = $1", f"00-{'a' * 32}-{'b' * 16}-01")
    await a_lease_passes(pool)
    with recorded_spans() as spans:
        await components.sweeper().sweep()
    assert await statuses(session, [turn]) == ["failed"]
    assert ids_of(append := spans.named("append"))[0] == "a" * 32
    assert append.parent == spans.named("interrupt turn").get_span_context()
    newest = "SELECT traceparent FROM events ORDER BY sequence DESC LIMIT 1"
    assert await pool.fetchval(newest) == traceparent_of(append)
