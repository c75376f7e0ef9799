"""Benchmark of `parley log export`; baselines: a bare consumer, and DuckDB alone on the files."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.projection import log_writer, publish
from benchmarks.servers.engines import kafka
from benchmarks.table import Row, print_table, rate_row
from parley_cli.log.dataset.manifest import load_manifest
from parley_cli.log.dataset.storage_location import storage_at
from parley_cli.log.generation.command import raw_event, simulated_events
from parley_cli.log.sql.query_session import query_session
from parley_core.log.client_settings import CONSUMER_SETTINGS
from parley_events.cloudevents import Record, record_of
from parley_events.topics import SESSIONS_TOPIC

EVENTS, COPIES, PARTITIONS, ROUNDS = 1_000_000, 20, 12, 3
SECONDS, MAX_MEGABYTES = 20, 1_500

QUERIES = {
    "tokens by model, from the view `usage`": (
        "SELECT model, sum(prompt_tokens) FROM usage GROUP BY ALL",
        "SELECT model, sum(usage.prompt_tokens) FROM {reply_completed} GROUP BY ALL",
    ),
    "completed replies": (
        "SELECT count(*), sum(total_ms) FROM reply_completed",
        "SELECT count(*), sum(total_ms) FROM {reply_completed}",
    ),
}


async def run() -> None:
    async with kafka() as bootstrap:
        count = await _publish(bootstrap)
        with tempfile.TemporaryDirectory(prefix="parley-benchmark-") as folder:
            seconds, bare, megabytes = [], [], 0.0
            for number in range(ROUNDS):
                target = Path(folder) / str(number)
                took, peak = await _export(bootstrap, target)
                seconds.append(took)
                megabytes = max(megabytes, peak)
                bare.append(await _bare_consumer(bootstrap, count))
            rows = _query_rows(Path(folder) / "0")
    rate, baseline = count / min(seconds), count / min(bare)
    print_table(
        f"Export: {count:,} events of the log to Parquet",
        [
            rate_row("Kafka to Parquet, one process", "events", rate, baseline, min_ratio=0.33),
            Row(
                "time",
                f"{min(seconds):.1f} s",
                f"{min(bare):.1f} s",
                target=f"< {SECONDS} s",
                met=min(seconds) < SECONDS,
            ),
            Row(
                "memory",
                f"{megabytes:,.0f} MB",
                target=f"< {MAX_MEGABYTES:,} MB",
                met=megabytes < MAX_MEGABYTES,
            ),
            *rows,
        ],
    )


async def _publish(bootstrap: str) -> int:
    """Publish simulated sessions, each several times under other ids."""
    published = 0
    async with log_writer(bootstrap) as writer:
        batch: list[Record] = []
        for event, _ in simulated_events(EVENTS // COPIES // 17, seed=1, days=30):
            raw = raw_event(event, 0, 0)
            for copy in range(COPIES):
                session = event.session_id.int ^ copy << 64
                batch.append(
                    record_of(
                        subject=type(event.session_id)(int=session),
                        event_id=event.id,
                        type=event.type,
                        sequence=event.sequence,
                        time=event.time,
                        traceparent=None,
                        value=raw.value,
                    )
                )
            if len(batch) >= 20_000:
                await publish(writer, batch)
                published += len(batch)
                batch = []
        await publish(writer, batch)
    return published + len(batch)


async def _export(bootstrap: str, target: Path) -> tuple[float, float]:
    """Seconds and peak memory, in MB, of an export in a process of its own, with its start."""
    script = (
        "import asyncio, resource, sys, time\n"
        "from dataclasses import replace\n"
        "from parley_cli.log.dataset.manifest import Selection\n"
        "from parley_cli.log.dataset.storage_location import storage_at\n"
        "from parley_cli.log.export.command import ExportOptions, export_log\n"
        "from parley_core.log import Brokers\n"
        "from parley_events.asyncapi.streams import STREAMS\n"
        "started = time.perf_counter()\n"
        "asyncio.run(export_log(Brokers(sys.argv[1]), storage_at(sys.argv[2]),\n"
        "    ExportOptions(Selection()), streams=STREAMS[:1]))\n"
        "print(time.perf_counter() - started,\n"
        "    resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, bootstrap, str(target)), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    seconds, megabytes = map(float, output.split())
    return seconds, megabytes


async def _bare_consumer(bootstrap: str, count: int) -> float:
    """Seconds of aiokafka alone to hand out all records, without looking at them."""
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, **CONSUMER_SETTINGS) as consumer:
        partitions = [TopicPartition(SESSIONS_TOPIC, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        started, received = time.perf_counter(), 0
        for partition in partitions:
            consumer.seek(partition, 0)
        while received < count:
            batches = await consumer.getmany(timeout_ms=1_000)
            received += sum(map(len, batches.values()))
        return time.perf_counter() - started


def _query_rows(folder: Path) -> list[Row]:
    storage = storage_at(str(folder))
    manifest = load_manifest(storage)
    files = {"reply_completed": f"'{folder}/sessions/type=*reply_completed*/**/*.parquet'"}
    rows = []
    with query_session(storage, manifest, None) as session, duckdb.connect() as alone:
        for label, (query, baseline) in QUERIES.items():
            text = baseline.format(**{name: f"read_parquet({at})" for name, at in files.items()})
            took = min(_seconds(lambda q=query: session.run(q).read_all()) for _ in range(ROUNDS))
            bare = min(_seconds(lambda t=text: alone.execute(t).fetchall()) for _ in range(ROUNDS))
            rows.append(Row(f"`log sql`, {label}", f"{took:.2f} s", f"{bare:.2f} s", bare / took))
    return rows


def _seconds(run: Any) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
