"""Benchmark of `parley log export`; baselines: a bare consumer, and DuckDB alone on the files."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple
from uuid import UUID

import duckdb

from benchmarks.events.projection import log_writer, publish
from benchmarks.servers.engines import kafka
from benchmarks.table import Row, per_second, print_table
from parley_cli.log.dataset.manifest import load_manifest
from parley_cli.log.dataset.storage_location import storage_at
from parley_cli.log.generation.command import simulated_events
from parley_cli.log.sql.query_session import query_session
from parley_events.cloudevents import Record, encode, record_of

EVENTS, COPIES, EVENTS_PER_SESSION, ROUNDS = 1_000_000, 20, 18.5, 3
MAX_SECONDS, MIN_RATIO, MAX_MEGABYTES = 20, 0.33, 1_500

EXPORT = """
import asyncio, sys
from parley_cli.log.dataset.manifest import Selection
from parley_cli.log.dataset.storage_location import storage_at
from parley_cli.log.export.command import ExportOptions, export_log
from parley_core.log import Brokers
from parley_events.asyncapi.streams import STREAMS

async def measured():
    storage, options = storage_at(sys.argv[2]), ExportOptions(Selection())
    await export_log(Brokers(sys.argv[1]), storage, options, streams=STREAMS[:1])
"""
# Hands out all records, and looks at none.
BARE_CONSUMER = """
import asyncio, sys
from aiokafka import AIOKafkaConsumer, TopicPartition
from parley_core.log.client_settings import CONSUMER_SETTINGS
from parley_events.topics import SESSIONS_TOPIC

async def measured():
    async with AIOKafkaConsumer(bootstrap_servers=sys.argv[1], **CONSUMER_SETTINGS) as consumer:
        partitions = [TopicPartition(SESSIONS_TOPIC, number) for number in range(12)]
        consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        missing = int(sys.argv[2])
        while missing > 0:
            missing -= sum(map(len, (await consumer.getmany(timeout_ms=1_000)).values()))
"""
MEASURE = """
import resource, time
started = time.perf_counter()
asyncio.run(measured())
used = resource.getrusage(resource.RUSAGE_SELF)
print(time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""

QUERIES = {
    "replies and their time": (
        "SELECT count(*), sum(total_ms) FROM reply_completed",
        "SELECT count(*), sum(total_ms) FROM {replies}",
    ),
    "tokens by model, from the view `turns`": (
        "SELECT model, sum(completion_tokens) FROM turns WHERE status = 'completed' GROUP BY ALL",
        "SELECT model, sum(usage.completion_tokens) FROM {replies} GROUP BY ALL",
    ),
}


class Usage(NamedTuple):
    """Of a process: wall-clock and processor time, in seconds, and its peak memory, in MB."""

    seconds: float
    cpu: float
    megabytes: float


async def run() -> None:
    async with kafka() as bootstrap:
        count = await _publish(bootstrap)
        exports, bare = [], []
        with tempfile.TemporaryDirectory(prefix="parley-benchmark-") as folder:
            for number in range(ROUNDS):
                exports.append(await _measured(EXPORT, bootstrap, f"{folder}/{number}"))
                bare.append(await _measured(BARE_CONSUMER, bootstrap, str(count)))
            queries = _query_rows(Path(folder) / "0")
    fastest, baseline = min(exports), min(bare)
    cpu, bare_cpu = (min(usage.cpu for usage in usages) for usages in (exports, bare))
    # Of a round, whose two halves are close in time: the speed of a machine changes.
    ratio = median(b.seconds / e.seconds for e, b in zip(exports, bare, strict=True))
    cpu_ratio = median(b.cpu / e.cpu for e, b in zip(exports, bare, strict=True))
    memory = max(usage.megabytes for usage in exports)
    print_table(
        f"Export: {count:,} events of the log to Parquet",
        [
            Row(
                "Kafka to Parquet, one process",
                per_second(count / fastest.seconds, "events"),
                per_second(count / baseline.seconds, "events"),
                ratio,
                MIN_RATIO,
            ),
            Row(
                "its time",
                f"{fastest.seconds:.1f} s",
                f"{baseline.seconds:.1f} s",
                target=f"< {MAX_SECONDS} s",
                met=fastest.seconds < MAX_SECONDS,
            ),
            Row("its processor time", f"{cpu:.1f} s", f"{bare_cpu:.1f} s", cpu_ratio),
            Row(
                "its memory",
                f"{memory:,.0f} MB",
                target=f"< {MAX_MEGABYTES:,} MB",
                met=memory < MAX_MEGABYTES,
            ),
            *queries,
        ],
    )


async def _publish(bootstrap: str) -> int:
    """Publish simulated sessions, each several times under other ids."""
    sessions = int(EVENTS / COPIES / EVENTS_PER_SESSION)
    published, batch = 0, list[Record]()
    async with log_writer(bootstrap) as writer:
        for simulated in simulated_events(sessions, seed=1, days=30):
            event, value = simulated.event, encode(simulated.event).value
            batch += (
                record_of(
                    subject=UUID(int=event.session_id.int ^ copy << 64),
                    event_id=event.id,
                    type=event.type,
                    sequence=event.sequence,
                    time=event.time,
                    traceparent=None,
                    value=value,
                )
                for copy in range(COPIES)
            )
            if len(batch) >= 20_000:
                await publish(writer, batch)
                published, batch = published + len(batch), []
        await publish(writer, batch)
    return published + len(batch)


async def _measured(script: str, *arguments: str) -> Usage:
    """Run the script in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script + MEASURE, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return Usage(*map(float, output.split()))


def _query_rows(folder: Path) -> list[Row]:
    storage = storage_at(str(folder))
    replies = f"read_parquet('{folder}/sessions/type=*reply_completed*/**/*.parquet')"
    rows = []
    with (
        query_session(storage, load_manifest(storage), None) as session,
        duckdb.connect() as alone,
    ):
        for label, (query, bare_query) in QUERIES.items():
            text = bare_query.format(replies=replies)
            took = _fastest(lambda q=query: session.run(q).read_all())  # type: ignore[misc]
            bare = _fastest(lambda t=text: alone.execute(t).fetchall())  # type: ignore[misc]
            rows.append(Row(f"`log sql`: {label}", f"{took:.2f} s", f"{bare:.2f} s", bare / took))
    return rows


def _fastest(query: Callable[[], object]) -> float:
    """Seconds of the fastest of three runs."""
    durations = []
    for _ in range(3):
        started = time.perf_counter()
        query()
        durations.append(time.perf_counter() - started)
    return min(durations)
