"""Takeover: a relay is suspended while publishing, another one leads, the first one resumes."""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from session_support.appending import append_sessions, append_turn, append_turns
from session_support.client import Client
from session_support.components import components_on
from session_support.log_reading import assert_all_in_log, outbox_is_empty, records_in
from session_support.process import session_process
from session_support.relaying import relaying

from parley_core.log import AppendResult, Brokers, LogWriter
from parley_core.storage.postgres_pool import Pool
from parley_events.cloudevents import Record
from parley_testing.eventually import eventually

_END_RELAYS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'parley-relay'
    AND state LIKE 'idle in transaction%'
"""

_PUBLISHES = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
    AND application_name = 'parley-relay' AND state LIKE 'idle in transaction%')
"""


class Stopped(LogWriter):
    """Delays publishing until it is released."""

    def __init__(self, brokers: Brokers, topic: str) -> None:
        super().__init__(brokers, topic)
        self.stopped, self.woken, self.done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def append(self, records: Sequence[Record], timeout: float) -> AppendResult:
        self.stopped.set()
        await self.woken.wait()
        appended = await super().append(records, timeout)
        self.done.set()
        return appended


async def test_a_relay_that_lost_the_lock_publishes_only_repeats(
    runtime_database: str, pool: Pool, kafka_bootstrap: str, log_topic: str
) -> None:
    components, brokers = components_on(pool), Brokers(kafka_bootstrap)
    session_ids = [await append_turns(components, 3) for _ in range(3)]
    zombie = Stopped(brokers, log_topic)
    writers = [zombie]

    def writer() -> LogWriter:
        return writers.pop() if writers else LogWriter(brokers, log_topic)

    async with relaying(runtime_database, writer, max_batch_events=20):
        await zombie.stopped.wait()
        # Like idle_in_transaction_session_timeout.
        assert await pool.fetchval(_END_RELAYS) == 1
        async with relaying(
            runtime_database, lambda: LogWriter(brokers, log_topic), max_batch_events=20
        ):
            for session_id in session_ids:
                await append_turn(components, session_id)
            await eventually(lambda: outbox_is_empty(pool))
            assert await assert_all_in_log(pool, kafka_bootstrap, log_topic) == 0
            zombie.woken.set()
            await zombie.done.wait()
            await append_turn(components, session_ids[0])
            await eventually(lambda: outbox_is_empty(pool))
    assert await assert_all_in_log(pool, kafka_bootstrap, log_topic) == 20


async def test_the_next_leader_repeats_unacknowledged_events(
    runtime_database: str, pool: Pool, kafka_bootstrap: str, log_topic: str
) -> None:
    components, brokers = components_on(pool), Brokers(kafka_bootstrap)
    await append_sessions(components, sessions=3, turns=3)
    first, second = Stopped(brokers, log_topic), Stopped(brokers, log_topic)
    writers = [second, first]

    def writer() -> LogWriter:
        return writers.pop() if writers else LogWriter(brokers, log_topic)

    async with relaying(runtime_database, writer, max_batch_events=20):
        await first.stopped.wait()
        assert await pool.fetchval(_END_RELAYS) == 1
        async with relaying(runtime_database, writer, max_batch_events=10):
            await second.stopped.wait()
            # Both relays publish the same events at the same time.
            first.woken.set()
            second.woken.set()
            await eventually(lambda: outbox_is_empty(pool))
    assert await assert_all_in_log(pool, kafka_bootstrap, log_topic) >= 10


async def test_a_suspended_leader_is_replaced_within_seconds(
    runtime_database: str, pool: Pool, kafka_bootstrap: str, log_topic: str
) -> None:
    settings: dict[str, Any] = {
        "kafka_bootstrap_servers": kafka_bootstrap,
        "session_topic_sessions": log_topic,
        "session_relay_max_batch_events": 5,
    }
    components = components_on(pool)
    async with AsyncExitStack() as stack:
        leader = await stack.enter_async_context(session_process(runtime_database, **settings))
        await append_sessions(components, sessions=10, turns=20)
        await stop_while_it_publishes(leader.process, pool)
        clock = asyncio.get_running_loop()
        stopped = clock.time()
        other = await stack.enter_async_context(session_process(runtime_database, **settings))
        await talk(other)
        await eventually(lambda: outbox_is_empty(pool))
        # 5 s to publish and 2 s of slack; then the other process drains the outbox.
        assert clock.time() - stopped < 14
        before = len(await records_in(kafka_bootstrap, log_topic))
        leader.process.send_signal(signal.SIGCONT)
        await talk(leader)
        await eventually(lambda: outbox_is_empty(pool))
        assert len(await records_in(kafka_bootstrap, log_topic)) > before
    await assert_all_in_log(pool, kafka_bootstrap, log_topic)


async def stop_while_it_publishes(process: asyncio.subprocess.Process, pool: Pool) -> None:
    """Sends SIGSTOP while the process holds the leader lock."""

    async def stopped() -> bool:
        process.send_signal(signal.SIGSTOP)
        await asyncio.to_thread(os.waitid, os.P_PID, process.pid, os.WSTOPPED)
        if await pool.fetchval(_PUBLISHES):
            return True
        process.send_signal(signal.SIGCONT)
        return False

    await eventually(stopped)
    assert not await outbox_is_empty(pool)


async def talk(client: Client) -> None:
    for _ in range(3):
        session = await client.start()
        await client.answered(session["id"], "hello", "hi")
