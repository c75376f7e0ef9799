"""The projector from Kafka to the read model, beside the same rows written without reading any."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
from msgspec.structs import astuple

from benchmarks.conversations import appends_of
from benchmarks.engines import kafka, postgres
from benchmarks.table import Line, per_second, print_table
from parley_cli.engines import free_port
from parley_core.log import Brokers, LogWriter, ensure_topic
from parley_events.cloudevents import encode
from parley_events.session import Event
from parley_events.topics import SESSIONS_TOPIC, TopicSpec
from parley_history.domain.fold import evolve
from parley_history.domain.rows import MessageRow, SessionRow
from parley_history.storage.migrations import migrate_history

SESSIONS, APPENDS, PARTITIONS, BATCH, ROUNDS = 400, 67, 12, 2_000, 3
AIM = 20_000

TABLES = ("sessions", "messages", "usage", "positions")
EMPTY = f"TRUNCATE {', '.join(f'read_model_1.{table}' for table in TABLES)}"

# The floor: a batch of messages by COPY, its sessions by one upsert, one commit.
FLOOR_TABLES = """
DROP TABLE IF EXISTS floor_messages, floor_sessions;
CREATE TABLE floor_messages (LIKE read_model_1.messages INCLUDING ALL);
CREATE TABLE floor_sessions (id uuid PRIMARY KEY, version integer NOT NULL);
"""
FLOOR_SESSIONS = """
INSERT INTO floor_sessions SELECT * FROM unnest($1::uuid[], $2::int[])
ON CONFLICT (id) DO UPDATE SET version = excluded.version
"""


async def run() -> None:
    conversations = [
        [event for append in appends_of(uuid4(), APPENDS) for event in append]
        for _ in range(SESSIONS)
    ]
    # As the log has them: the sessions go on side by side.
    events = [event for step in zip(*conversations, strict=True) for event in step]
    async with postgres() as dsn, kafka() as bootstrap:
        await ensure_topic(Brokers(bootstrap), TopicSpec(SESSIONS_TOPIC, PARTITIONS, 1, 1))
        await _publish(bootstrap, events)
        connection = await asyncpg.connect(dsn)
        await migrate_history(connection)
        settings = {
            "PARLEY_HISTORY_DATABASE_URL": dsn,
            "PARLEY_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        }
        rates, floors = [], []
        for round_number in range(ROUNDS):
            await connection.execute(EMPTY)
            group = f"benchmark-{round_number}"
            rates.append(await projected_rate(settings, connection, len(events), group))
            floors.append(await bare_rate(connection, events))
        await connection.close()
    print_table(
        f"Projection: {len(events):,} events of {SESSIONS} sessions, batches of {BATCH:,}",
        [
            Line(
                "Kafka to read model, one projector",
                per_second(max(rates), "events"),
                per_second(max(floors), "events"),
                max(rates) / max(floors),
                f">= {AIM:,}/s",
                max(rates) >= AIM,
            )
        ],
    )


async def _publish(bootstrap: str, events: Sequence[Event]) -> None:
    writer = LogWriter(Brokers(bootstrap), SESSIONS_TOPIC)
    await writer.start()
    appended = await writer.append([encode(event) for event in events], timeout=60)
    assert appended.error is None
    await writer.close()


async def projected_rate(
    settings: Mapping[str, str],
    connection: "asyncpg.Connection[asyncpg.Record]",
    count: int,
    group: str,
) -> float:
    """From the first event projected to the last: joining the group is not part of it."""
    async with projecting(settings, group):
        began, first = 0.0, 0
        while (done := await projected(connection)) < count:
            if done and not began:
                began, first = time.perf_counter(), done
            await asyncio.sleep(0.01)
        return (count - first) / (time.perf_counter() - began)


@asynccontextmanager
async def projecting(settings: Mapping[str, str], group: str) -> AsyncIterator[None]:
    """The real process: what this one holds in memory must not slow it down."""
    own = {
        "PARLEY_HISTORY_PROJECTOR_CONSUMER_GROUP": group,
        "PARLEY_HISTORY_PROJECTOR_PORT": str(free_port()),
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


async def projected(connection: "asyncpg.Connection[asyncpg.Record]", version: int = 1) -> int:
    """How many records that version of the read model has."""
    statement = f"SELECT coalesce(sum(next), 0) FROM read_model_{version}.positions"
    return int(await connection.fetchval(statement))


async def bare_rate(
    connection: "asyncpg.Connection[asyncpg.Record]", events: Sequence[Event]
) -> float:
    await connection.execute(FLOOR_TABLES)
    sessions: dict[object, SessionRow] = {}
    batches = []
    for start in range(0, len(events), BATCH):
        messages = []
        moved: dict[object, int] = {}
        for event in events[start : start + BATCH]:
            sessions[event.session_id], brought = evolve(sessions.get(event.session_id), event)
            moved[event.session_id] = event.sequence
            if isinstance(brought, MessageRow):
                messages.append(astuple(brought))
        batches.append((messages, moved))
    began = time.perf_counter()
    for messages, moved in batches:
        async with connection.transaction():
            await connection.copy_records_to_table(
                "floor_messages", columns=MessageRow.__struct_fields__, records=messages
            )
            await connection.execute(FLOOR_SESSIONS, [*moved], [*moved.values()])
    return len(events) / (time.perf_counter() - began)
