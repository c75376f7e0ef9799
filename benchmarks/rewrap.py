"""Benchmark of rewrapping 100,000 keys with a new master key, and of reads of keys meanwhile."""

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

KEYS, PEOPLE = 100_000, 1_000
BASELINE_READS, PAUSE_SECONDS = 1_000, 0.002
OLD, NEW = "k1:" + "a" * 43 + "=", "k2:" + "Y" * 43 + "="
BOTH = f"{NEW},{OLD}"
RANDOM = Random(7)
COLUMNS = ["id", "tenant", "owner", "assistant_id", "version", "updated_at", "wrapped_key"]


async def run() -> None:
    async with postgres() as dsn:
        session_ids = await _store(dsn)
        async with open_pool(
            dsn, max_connections=2, timeout_seconds=30, application_name="benchmark"
        ) as pool:
            store = EventStore(pool, Keyring(MasterKeys.parse(BOTH)), max_cache_bytes=1)
            alone = [await _read(store, session_ids) for _ in range(BASELINE_READS)]
            rewrap = asyncio.create_task(_rewrap(dsn))
            beside = list[float]()
            while not rewrap.done():
                beside.append(await _read(store, session_ids))
            seconds = await rewrap
    rate = per_second(KEYS / seconds, "keys")
    print_table(
        f"Rewrap of {KEYS:,} keys",
        [
            Row("rewrap, with the start of the command", f"{seconds:.1f} s, {rate}"),
            *(
                time_row(
                    f"read of a key meanwhile, p{p}", percentile(beside, p), percentile(alone, p)
                )
                for p in (50, 99)
            ),
        ],
    )


async def _store(dsn: str) -> list[UUID]:
    keyring, now = Keyring(MasterKeys.parse(OLD)), datetime.now(UTC)
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


async def _rewrap(dsn: str) -> float:
    """The seconds that `keys rewrap` takes."""
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "parley_session", "keys", "rewrap", "--to", "k2"),
        env=os.environ | {"PARLEY_SESSION_DATABASE_URL": dsn, "PARLEY_MASTER_KEY": BOTH},
    )
    if await process.wait():
        raise RuntimeError("the rewrap failed")
    return time.perf_counter() - started
