"""Benchmark of rewrapping 20,000 keys with another master key, and of reads of keys meanwhile.

In rounds of reads alone and reads beside a rewrap, so that the machine changes for both.
"""

import asyncio
import os
import sys
import time
from datetime import UTC, datetime
from random import Random
from uuid import UUID, uuid4

import asyncpg

from benchmarks.servers.engines import postgres
from benchmarks.table import Row, per_second, percentile, print_table, time_row
from parley_core.crypto.master_keys import MasterKeys
from parley_core.crypto.sealing import DataKey
from parley_core.storage.migrations import load_migrations, migrate
from parley_core.storage.postgres_pool import open_pool
from parley_session.key_management.keyring import Keyring
from parley_session.storage.event_store import EventStore
from parley_session.storage.migrations import MIGRATIONS

KEYS, PEOPLE = 20_000, 1_000
# Even: each rewrap goes back to the master key of the previous one.
ROUNDS = 6
READS_ALONE, PAUSE_SECONDS = 2_500, 0.002
FIRST, SECOND = "k1:" + "a" * 43 + "=", "k2:" + "Y" * 43 + "="
# The target is at most 1.2 times the baseline.
MIN_RATIO = 0.83
RANDOM = Random(7)
COLUMNS = ["id", "tenant", "owner", "assistant_id", "version", "updated_at", "wrapped_key"]


async def run() -> None:
    async with postgres() as dsn:
        session_ids = await _store(dsn)
        async with open_pool(
            dsn, max_connections=2, timeout_seconds=30, application_name="benchmark"
        ) as pool:
            keyring = Keyring(MasterKeys.parse(f"{FIRST},{SECOND}"))
            store = EventStore(pool, keyring, max_cache_bytes=1)
            alone, beside, seconds = list[float](), list[float](), 0.0
            for number in range(ROUNDS):
                alone += [await _read(store, session_ids) for _ in range(READS_ALONE)]
                active, other = (FIRST, SECOND) if number % 2 else (SECOND, FIRST)
                rewrap = asyncio.create_task(_rewrap(dsn, active, other))
                while not rewrap.done():
                    beside.append(await _read(store, session_ids))
                seconds += await rewrap
    rate = per_second(ROUNDS * KEYS / seconds, "keys")
    print_table(
        f"Rewrap of {KEYS:,} keys, {ROUNDS} times",
        [
            Row("rewrap, with the start of the command", f"{seconds / ROUNDS:.1f} s, {rate}"),
            *(
                time_row(
                    f"read of a key meanwhile, p{p}",
                    percentile(beside, p),
                    percentile(alone, p),
                    MIN_RATIO if p == 99 else "",
                )
                for p in (50, 99)
            ),
        ],
    )


async def _store(dsn: str) -> list[UUID]:
    keyring, now = Keyring(MasterKeys.parse(FIRST)), datetime.now(UTC)
    ids = [uuid4() for _ in range(KEYS)]
    wrapped = await keyring.wrap_all([(DataKey.generate(), each) for each in ids])
    rows = [
        (each, "default", f"user-{number % PEOPLE}", "helper", 1, now, wrapped[number])
        for number, each in enumerate(ids)
    ]
    connection = await asyncpg.connect(dsn)
    await migrate(connection, load_migrations(MIGRATIONS))
    await connection.copy_records_to_table("sessions", records=rows, columns=COLUMNS)
    await connection.execute("VACUUM ANALYZE sessions")
    await connection.execute("CHECKPOINT")
    await connection.close()
    return ids


async def _read(store: EventStore, session_ids: list[UUID]) -> float:
    """The seconds to read and unwrap the key of some session."""
    await asyncio.sleep(PAUSE_SECONDS)
    started = time.perf_counter()
    await store.data_keys([RANDOM.choice(session_ids)])
    return time.perf_counter() - started


async def _rewrap(dsn: str, active: str, other: str) -> float:
    """The seconds that `keys rewrap` to the active master key takes."""
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "parley_session", "keys", "rewrap", "--to", active.partition(":")[0]),
        env=os.environ
        | {"PARLEY_SESSION_DATABASE_URL": dsn, "PARLEY_MASTER_KEY": f"{active},{other}"},
    )
    if await process.wait():
        raise RuntimeError("the rewrap failed")
    return time.perf_counter() - started
