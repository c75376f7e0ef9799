"""Benchmark of the projector; baseline: the same rows written without reading Kafka."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
from msgspec.structs import astuple

from benchmarks.load.sample_conversations import sample_appends
from benchmarks.servers.engines import kafka, postgres
from benchmarks.table import print_table, rate_row
from parley_cli.engines import free_port
from parley_core.log import Brokers, LogWriter, ensure_topic
from parley_events.cloudevents import Record, encode
from parley_events.session import Event
from parley_events.topics import SESSIONS_TOPIC, TopicSpec
from parley_history.domain.fold import evolve
from parley_history.domain.rows import MessageRow, SessionRow
from parley_history.storage.migrations import migrate_history

SESSIONS, APPENDS, PARTITIONS, BATCH, ROUNDS = 400, 67, 12, 2_000, 3
TARGET = 20_000

TABLES = ("sessions", "messages", "usage", "positions")
EMPTY = f"TRUNCATE {', '.join(f'read_model_1.{table}' for table in TABLES)}"

# Baseline: messages by COPY and sessions by one upsert, in one transaction per batch.
BASELINE_TABLES = """
DROP TABLE IF EXISTS baseline_messages, baseline_sessions;
CREATE TABLE baseline_messages (LIKE read_model_1.messages INCLUDING ALL);
CREATE TABLE baseline_sessions (id uuid PRIMARY KEY, version integer NOT NULL);
"""
BASELINE_SESSIONS = """
INSERT INTO baseline_sessions SELECT * FROM unnest($1::uuid[], $2::int[])
ON CONFLICT (id) DO UPDATE SET version = excluded.version
"""


async def run() -> None:
    conversations = [
        [event for append in sample_appends(uuid4(), APPENDS) for event in append]
        for _ in range(SESSIONS)
    ]
    # Interleaved like the events of concurrent sessions in the log.
    events = [event for step in zip(*conversations, strict=True) for event in step]
    async with postgres() as dsn, kafka() as bootstrap:
        async with log_writer(bootstrap) as writer:
            await publish(writer, [encode(event) for event in events])
        connection = await asyncpg.connect(dsn)
        await migrate_history(connection)
        settings = {
            "PARLEY_HISTORY_DATABASE_URL": dsn,
            "PARLEY_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        }
        rates, baselines = [], []
        for round_number in range(ROUNDS):
            await connection.execute(EMPTY)
            group = f"benchmark-{round_number}"
            rates.append(await projection_rate(settings, connection, len(events), group))
            baselines.append(await baseline_rate(connection, events))
        await connection.close()
    print_table(
        f"Projection: {len(events):,} events of {SESSIONS} sessions, batches of {BATCH:,}",
        [
            rate_row(
                "Kafka to read model, one projector",
                "events",
                max(rates),
                max(baselines),
                min_rate=TARGET,
            )
        ],
    )


@asynccontextmanager
async def log_writer(bootstrap: str) -> AsyncIterator[LogWriter]:
    """A started writer of the sessions topic, which is created if it is missing."""
    brokers = Brokers(bootstrap)
    await ensure_topic(brokers, TopicSpec(SESSIONS_TOPIC, PARTITIONS, 1, 1))
    writer = LogWriter(brokers, SESSIONS_TOPIC)
    await writer.start()
    try:
        yield writer
    finally:
        await writer.close()


async def publish(writer: LogWriter, records: Sequence[Record]) -> None:
    for start in range(0, len(records), 5_000):
        appended = await writer.append(records[start : start + 5_000], timeout=60)
        assert appended.error is None, appended.error


async def projection_rate(
    settings: Mapping[str, str],
    connection: "asyncpg.Connection[asyncpg.Record]",
    count: int,
    group: str,
) -> float:
    """Events per second from the first projected event to the last, without the group join."""
    async with running_projector(settings, group):
        started_at, first = 0.0, 0
        while (count_applied := await projected_records(connection)) < count:
            if count_applied and not started_at:
                started_at, first = time.perf_counter(), count_applied
            await asyncio.sleep(0.01)
        return (count - first) / (time.perf_counter() - started_at)


@asynccontextmanager
async def running_projector(settings: Mapping[str, str], group: str) -> AsyncIterator[None]:
    """A projector as a separate process, which the memory of this one cannot slow down."""
    own = {
        "PARLEY_HISTORY_PROJECTOR_CONSUMER_GROUP": group,
        "PARLEY_HISTORY_PROJECTOR_MANAGEMENT_PORT": str(free_port()),
    }
    projector = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "parley_history", "project"),
        env=os.environ | settings | own,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
        assert projector.returncode is None
    finally:
        projector.terminate()
        await projector.wait()


async def projected_records(
    connection: "asyncpg.Connection[asyncpg.Record]", version: int = 1
) -> int:
    """The number of records applied to a version of the read model."""
    statement = f"SELECT coalesce(sum(next), 0) FROM read_model_{version}.positions"
    return int(await connection.fetchval(statement))


async def baseline_rate(
    connection: "asyncpg.Connection[asyncpg.Record]", events: Sequence[Event]
) -> float:
    await connection.execute(BASELINE_TABLES)
    sessions: dict[object, SessionRow] = {}
    batches = []
    for start in range(0, len(events), BATCH):
        messages = []
        versions: dict[object, int] = {}
        for event in events[start : start + BATCH]:
            sessions[event.session_id], row = evolve(sessions.get(event.session_id), event)
            versions[event.session_id] = event.sequence
            if isinstance(row, MessageRow):
                messages.append(astuple(row))
        batches.append((messages, versions))
    started_at = time.perf_counter()
    for messages, versions in batches:
        async with connection.transaction():
            await connection.copy_records_to_table(
                "baseline_messages", columns=MessageRow.__struct_fields__, records=messages
            )
            await connection.execute(BASELINE_SESSIONS, [*versions], [*versions.values()])
    return len(events) / (time.perf_counter() - started_at)
