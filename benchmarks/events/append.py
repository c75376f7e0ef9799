"""Benchmark of appends to the event store; baseline: one bare statement for the same rows."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from uuid import uuid4

import asyncpg

from benchmarks.load.sample_conversations import Append, sample_appends
from benchmarks.servers.engines import postgres
from benchmarks.table import percentile, print_table, rate_row, time_row
from parley_core.crypto.master_keys import LocalKey, MasterKeys
from parley_core.crypto.sealing import DataKey
from parley_core.storage.migrations import load_migrations, migrate
from parley_core.storage.postgres_pool import Pool, open_pool
from parley_events.cloudevents import encode
from parley_session.key_management.keyring import Keyring
from parley_session.storage.event_store import EventStore, LoadedSession
from parley_session.storage.migrations import MIGRATIONS

ROUNDS, SINGLE_WRITER_APPENDS, WRITERS, APPENDS_PER_WRITER = 6, 200, 20, 50
TARGET = 0.7

# Only compare-and-set, events and outbox, and no index except the primary keys.
BASELINE_TABLES = """
CREATE TABLE baseline_sessions (id uuid PRIMARY KEY, version integer NOT NULL);
CREATE TABLE baseline_events (
    session_id uuid, sequence integer, id uuid, type text, time timestamptz, data json,
    PRIMARY KEY (session_id, sequence)
);
CREATE TABLE baseline_outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, session_id uuid, sequence integer
);
"""
BASELINE_APPEND = """
WITH session AS (
    INSERT INTO baseline_sessions VALUES ($1, $2)
    ON CONFLICT (id) DO UPDATE SET version = $2 WHERE baseline_sessions.version = $3
    RETURNING id
), stored AS (
    INSERT INTO baseline_events SELECT session.id, new.* FROM session,
        unnest($4::int[], $5::uuid[], $6::text[], $7::timestamptz[], $8::json[]) AS new
), queued AS (
    INSERT INTO baseline_outbox (session_id, sequence)
    SELECT session.id, new FROM session, unnest($4::int[]) AS new
)
SELECT EXISTS (SELECT FROM session)
"""

Writer = Callable[[Sequence[Append]], Awaitable[list[float]]]
"""Runs the appends of one session in sequence; returns the seconds of each."""


async def run() -> None:
    async with (
        postgres() as dsn,
        open_pool(
            dsn,
            max_connections=WRITERS,
            timeout_seconds=10,
            application_name="benchmark",
        ) as pool,
    ):
        connection = await asyncpg.connect(dsn)
        await migrate(connection, load_migrations(MIGRATIONS))
        await connection.execute(BASELINE_TABLES)
        await connection.close()
        writers = {"parley": _event_store_writer(pool), "baseline": _baseline_writer(pool)}
        single: dict[str, list[float]] = {name: [] for name in writers}
        concurrent: dict[str, list[float]] = {name: [] for name in writers}
        # Interleaved, so that other load on the machine affects both.
        for _ in range(ROUNDS):
            for name, writer in writers.items():
                single[name] += await writer(sample_appends(uuid4(), SINGLE_WRITER_APPENDS))
                concurrent[name].append(await _concurrent_rate(writer))
    latency, baseline_latency = (percentile(single[name], 50) for name in writers)
    rate, baseline_rate = (percentile(concurrent[name], 50) for name in writers)
    print_table(
        "Append (submit: 2 events, end of a reply: 1), one commit each, fsync on",
        [
            time_row("one writer, p50", latency, baseline_latency, TARGET),
            rate_row(f"{WRITERS} writers", "appends", rate, baseline_rate, min_ratio=TARGET),
        ],
    )


async def _concurrent_rate(writer: Writer) -> float:
    conversations = [sample_appends(uuid4(), APPENDS_PER_WRITER) for _ in range(WRITERS)]
    started_at = time.perf_counter()
    await asyncio.gather(*map(writer, conversations))
    return WRITERS * APPENDS_PER_WRITER / (time.perf_counter() - started_at)


def _event_store_writer(pool: Pool) -> Writer:
    store = EventStore(
        pool, Keyring(MasterKeys({"k": LocalKey(os.urandom(32))})), max_cache_bytes=1_000_000
    )

    async def write(appends: Sequence[Append]) -> list[float]:
        loaded: LoadedSession | None = None
        key, samples = DataKey.generate(), []
        for events in appends:
            started_at = time.perf_counter()
            loaded = await store.append(loaded, events, key=key)
            samples.append(time.perf_counter() - started_at)
            assert loaded is not None
        return samples

    return write


def _baseline_writer(pool: Pool) -> Writer:
    async def write(appends: Sequence[Append]) -> list[float]:
        version, samples = 0, []
        for events in appends:
            values = [encode(event).value.decode() for event in events]
            started_at = time.perf_counter()
            stored = await pool.fetchval(
                BASELINE_APPEND,
                events[0].session_id,
                events[-1].sequence,
                version,
                [event.sequence for event in events],
                [event.id for event in events],
                [event.type for event in events],
                [event.time for event in events],
                values,
            )
            samples.append(time.perf_counter() - started_at)
            assert stored
            version = events[-1].sequence
        return samples

    return write
