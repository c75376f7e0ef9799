"""Benchmark of the outbox relay; baseline: a bare Kafka producer with the same records."""

import asyncio
import time
from collections.abc import Sequence
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaProducer

from benchmarks.load.sample_conversations import sample_appends
from benchmarks.servers.engines import kafka, postgres
from benchmarks.table import print_table, rate_row
from parley_core.log import Brokers, LogWriter, ensure_topic
from parley_core.storage.database_urls import DatabaseUrls
from parley_core.storage.migrations import load_migrations, migrate
from parley_events.cloudevents import Record, encode
from parley_events.session import Event
from parley_events.topics import SESSIONS_TOPIC, TopicSpec
from parley_session.relay.relay import RELAY_LIMITS, Relay
from parley_session.storage.migrations import MIGRATIONS

SESSIONS, APPENDS, PARTITIONS, BATCH = 400, 34, 12, 2_000
TARGET = 10_000


async def run() -> None:
    async with postgres() as dsn, kafka() as bootstrap:
        await ensure_topic(Brokers(bootstrap), TopicSpec(SESSIONS_TOPIC, PARTITIONS, 1, 1))
        await ensure_topic(Brokers(bootstrap), TopicSpec("baseline", PARTITIONS, 1, 1))
        events = [
            event
            for _ in range(SESSIONS)
            for append in sample_appends(uuid4(), APPENDS)
            for event in append
        ]
        records = [encode(event) for event in events]
        rates, baselines = [], []
        for _ in range(2):
            connection = await asyncpg.connect(dsn)
            await _fill(connection, events, records)
            rates.append(len(events) / await _drain_seconds(dsn, bootstrap, connection))
            await connection.close()
            baselines.append(len(records) / await _baseline_seconds(bootstrap, records))
    print_table(
        f"Outbox to Kafka: {len(events):,} events of {SESSIONS} sessions, acks=all, idempotent",
        [rate_row("relay", "events", max(rates), max(baselines), min_rate=TARGET)],
    )


async def _fill(
    connection: "asyncpg.Connection[asyncpg.Record]",
    events: Sequence[Event],
    records: Sequence[Record],
) -> None:
    await migrate(connection, load_migrations(MIGRATIONS))
    await connection.execute("TRUNCATE events, outbox")
    rows = [
        (event.session_id, event.sequence, event.id, event.type, event.time, record.value.decode())
        for event, record in zip(events, records, strict=True)
    ]
    columns = ["session_id", "sequence", "id", "type", "time", "data"]
    await connection.copy_records_to_table("events", records=rows, columns=columns)
    await connection.execute(
        """
        INSERT INTO outbox (session_id, sequence, bytes)
        SELECT session_id, sequence, length(data::text) FROM events ORDER BY id
        """
    )
    await connection.execute("ANALYZE")


async def _drain_seconds(
    dsn: str, bootstrap: str, connection: "asyncpg.Connection[asyncpg.Record]"
) -> float:
    urls = DatabaseUrls(url=dsn)
    relay = Relay(urls, lambda: LogWriter(Brokers(bootstrap), SESSIONS_TOPIC), RELAY_LIMITS)
    started_at = time.perf_counter()
    running = asyncio.create_task(relay.run())
    while await connection.fetchval("SELECT EXISTS (SELECT FROM outbox)"):
        await asyncio.sleep(0.02)
    seconds = time.perf_counter() - started_at
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return seconds


async def _baseline_seconds(bootstrap: str, records: Sequence[Record]) -> float:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        enable_idempotence=True,
        compression_type="lz4",
        max_batch_size=512 * 1024,
    )
    await producer.start()
    started_at = time.perf_counter()
    for first in range(0, len(records), BATCH):
        sent = [
            await producer.send("baseline", record.value, record.key, headers=[*record.headers])
            for record in records[first : first + BATCH]
        ]
        await asyncio.gather(*sent)
    seconds = time.perf_counter() - started_at
    await producer.stop()
    return seconds
