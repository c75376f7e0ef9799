"""Appends to the event store, beside the same rows written by one bare statement."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from uuid import uuid4

import asyncpg

from benchmarks.conversations import Append, appends_of
from benchmarks.engines import postgres
from benchmarks.table import Line, milliseconds, per_second, percentile, print_table
from parley_core.crypto.master_keys import MasterKeys
from parley_core.crypto.sealing import DataKey
from parley_core.storage.migrations import load_migrations, migrate
from parley_core.storage.postgres_pool import Pool, open_pool
from parley_events.cloudevents import encode
from parley_session.storage.event_store import EventStore, Held
from parley_session.storage.migrations import MIGRATIONS

ROUNDS, ALONE, WRITERS, EACH = 6, 200, 20, 50
AIM = 0.7

# Compare-and-set, events and outbox: nothing else, and no index beyond the keys.
FLOOR_TABLES = """
CREATE TABLE floor_sessions (id uuid PRIMARY KEY, version integer NOT NULL);
CREATE TABLE floor_events (
    session_id uuid, sequence integer, id uuid, type text, time timestamptz, data json,
    PRIMARY KEY (session_id, sequence)
);
CREATE TABLE floor_outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, session_id uuid, sequence integer
);
"""
FLOOR_APPEND = """
WITH moved AS (
    INSERT INTO floor_sessions VALUES ($1, $2)
    ON CONFLICT (id) DO UPDATE SET version = $2 WHERE floor_sessions.version = $3
    RETURNING id
), stored AS (
    INSERT INTO floor_events SELECT moved.id, new.* FROM moved,
        unnest($4::int[], $5::uuid[], $6::text[], $7::timestamptz[], $8::json[]) AS new
), queued AS (
    INSERT INTO floor_outbox (session_id, sequence)
    SELECT moved.id, new FROM moved, unnest($4::int[]) AS new
)
SELECT EXISTS (SELECT FROM moved)
"""

Writer = Callable[[Sequence[Append]], Awaitable[list[float]]]
"""Makes the appends of one session one after another; answers the seconds of each."""


async def run() -> None:
    async with (
        postgres() as dsn,
        asyncpg.create_pool(dsn, min_size=WRITERS, max_size=WRITERS) as pool,
    ):
        connection = await asyncpg.connect(dsn)
        await migrate(connection, load_migrations(MIGRATIONS))
        await connection.execute(FLOOR_TABLES)
        await connection.close()
        writers = {"ours": _ours(pool), "floor": _floor(pool)}
        alone: dict[str, list[float]] = {name: [] for name in writers}
        together: dict[str, list[float]] = {name: [] for name in writers}
        # In turns: what else the machine does falls on both.
        for _ in range(ROUNDS):
            for name, writer in writers.items():
                alone[name] += await writer(appends_of(uuid4(), ALONE))
                together[name].append(await _at_once(writer))
    mine, floor = percentile(alone["ours"], 50), percentile(alone["floor"], 50)
    rate, most = percentile(together["ours"], 50), percentile(together["floor"], 50)
    print_table(
        "Append (submit: 2 events, end of a reply: 1), one commit each, fsync on",
        [
            Line("alone, p50", milliseconds(mine), milliseconds(floor), floor / mine, AIM),
            Line(
                f"{WRITERS} writers",
                per_second(rate, "appends"),
                per_second(most, "appends"),
                rate / most,
                AIM,
            ),
        ],
    )


def _pool(dsn: str) -> Pool:
    return open_pool(dsn, max_connections=WRITERS, timeout_seconds=10, application_name="benchmark")


async def _at_once(writer: Writer) -> float:
    conversations = [appends_of(uuid4(), EACH) for _ in range(WRITERS)]
    began = time.perf_counter()
    await asyncio.gather(*map(writer, conversations))
    return WRITERS * EACH / (time.perf_counter() - began)


def _ours(pool: Pool) -> Writer:
    store = EventStore(pool, MasterKeys({"k": os.urandom(32)}, "k"), most_sessions_kept=10_000)

    async def write(appends: Sequence[Append]) -> list[float]:
        held: Held | None = None
        key, samples = DataKey.generate(), []
        for events in appends:
            began = time.perf_counter()
            held = await store.append(held, events, key=key)
            samples.append(time.perf_counter() - began)
            assert held is not None
        return samples

    return write


def _floor(pool: Pool) -> Writer:
    async def write(appends: Sequence[Append]) -> list[float]:
        version, samples = 0, []
        for events in appends:
            values = [encode(event).value.decode() for event in events]
            began = time.perf_counter()
            stored = await pool.fetchval(
                FLOOR_APPEND,
                events[0].session_id,
                events[-1].sequence,
                version,
                [event.sequence for event in events],
                [event.id for event in events],
                [event.type for event in events],
                [event.time for event in events],
                values,
            )
            samples.append(time.perf_counter() - began)
            assert stored
            version = events[-1].sequence
        return samples

    return write
