"""The outbox drained into Kafka by the relay, beside a bare producer with the same records."""

import asyncio
import time
from collections.abc import Sequence
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaProducer

from benchmarks.conversations import appends_of
from benchmarks.engines import kafka, postgres
from benchmarks.table import Line, per_second, print_table
from parley_core.log import Brokers, LogWriter, ensure_topic
from parley_core.storage.migrations import load_migrations, migrate
from parley_events.cloudevents import Record, encode
from parley_events.session import Event
from parley_events.topics import SESSIONS_TOPIC, TopicSpec
from parley_session.relay.relay import Relay, RelayLimits
from parley_session.settings import SessionSettings
from parley_session.storage.migrations import MIGRATIONS

SESSIONS, APPENDS, PARTITIONS, AT_ONCE = 400, 34, 12, 2_000
AIM = 10_000


async def run() -> None:
    async with postgres() as dsn, kafka() as bootstrap:
        await ensure_topic(Brokers(bootstrap), TopicSpec(SESSIONS_TOPIC, PARTITIONS, 1, 1))
        await ensure_topic(Brokers(bootstrap), TopicSpec("floor", PARTITIONS, 1, 1))
        events = [
            event
            for _ in range(SESSIONS)
            for append in appends_of(uuid4(), APPENDS)
            for event in append
        ]
        records = [encode(event) for event in events]
        rates, floors = [], []
        for _ in range(2):
            connection = await asyncpg.connect(dsn)
            await _fill(connection, events, records)
            rates.append(len(events) / await _drain(dsn, bootstrap, connection))
            await connection.close()
            floors.append(len(records) / await _bare(bootstrap, records))
    print_table(
        f"Outbox to Kafka: {len(events):,} events of {SESSIONS} sessions, acks=all, idempotent",
        [
            Line(
                "relay",
                per_second(max(rates), "events"),
                per_second(max(floors), "events"),
                max(rates) / max(floors),
                f">= {AIM:,}/s",
                max(rates) >= AIM,
            )
        ],
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


async def _drain(
    dsn: str, bootstrap: str, connection: "asyncpg.Connection[asyncpg.Record]"
) -> float:
    defaults = {name: field.default for name, field in SessionSettings.model_fields.items()}
    limits = RelayLimits(
        records=defaults["relay_records"],
        bytes=defaults["relay_bytes"],
        publish_seconds=defaults["relay_publish_seconds"],
        poll_seconds=defaults["relay_poll_seconds"],
        linger_seconds=defaults["relay_linger_seconds"],
        pause_seconds=defaults["relay_pause_seconds"],
        store_seconds=defaults["session_store_seconds"],
    )
    relay = Relay(dsn, lambda: LogWriter(Brokers(bootstrap), SESSIONS_TOPIC), limits)
    began = time.perf_counter()
    running = asyncio.create_task(relay.run())
    while await connection.fetchval("SELECT EXISTS (SELECT FROM outbox)"):
        await asyncio.sleep(0.02)
    seconds = time.perf_counter() - began
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return seconds


async def _bare(bootstrap: str, records: Sequence[Record]) -> float:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        enable_idempotence=True,
        compression_type="lz4",
        max_batch_size=512 * 1024,
    )
    await producer.start()
    began = time.perf_counter()
    for first in range(0, len(records), AT_ONCE):
        sent = [
            await producer.send("floor", record.value, record.key, headers=[*record.headers])
            for record in records[first : first + AT_ONCE]
        ]
        await asyncio.gather(*sent)
    seconds = time.perf_counter() - began
    await producer.stop()
    return seconds
