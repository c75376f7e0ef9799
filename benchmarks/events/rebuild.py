"""Benchmark of a rebuild of a million events: alone, killed and resumed, and under writes."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import islice
from uuid import uuid4

import asyncpg

from benchmarks.events.projection import (
    baseline_rate,
    log_writer,
    projected_records,
    projection_rate,
    publish,
    running_projector,
)
from benchmarks.load.sample_conversations import sample_appends
from benchmarks.servers.engines import kafka, postgres
from benchmarks.table import Row, per_second, print_table, rate_row
from parley_core.log import LogWriter
from parley_events.cloudevents import Record, encode
from parley_history.storage.migrations import migrate_history

# 100 events per session: a million in total.
APPENDS, CONCURRENT_SESSIONS, GROUPS = 67, 400, 25
BASELINE_SESSIONS = 400
WRITES_PER_SECOND, TARGET = 200, 40_000
NEWEST = "SELECT max(version) FROM read_models WHERE indexed_at IS NULL"

_SUMMARY = re.compile(r"is live: [\d,]+ events in [\d.]+ s \(([\d,]+) events/s\), checksum (\S+)")


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """Events per second from the first event to the swap, and the checksum of the new version."""

    rate: float
    checksum: str


async def run() -> None:
    events = [event for append in sample_appends(uuid4(), APPENDS) for event in append]
    template = [encode(event) for event in events]
    count = GROUPS * CONCURRENT_SESSIONS * len(template)
    async with postgres() as dsn, kafka() as bootstrap, log_writer(bootstrap) as writer:
        settings = {
            "PARLEY_HISTORY_DATABASE_URL": dsn,
            "PARLEY_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        }
        connection = await asyncpg.connect(dsn)
        await migrate_history(connection)
        for _ in range(GROUPS):
            await publish(writer, _interleaved(template))
        live = await projection_rate(settings, connection, count, "benchmark")
        others = (uuid4() for _ in range(BASELINE_SESSIONS))
        baseline = await baseline_rate(
            connection, [replace(event, session_id=other) for other in others for event in events]
        )
        alone = await _rebuild(settings)
        await _rebuild_and_kill(settings, connection, count // 2)
        resumed = await _rebuild(settings)
        async with (
            running_projector(settings, "benchmark"),
            _writes_at_fixed_rate(writer, template),
        ):
            under_writes = await _rebuild(settings)
        await connection.close()
    # The command itself compares each rebuilt version with the live one before the swap.
    assert alone.checksum == resumed.checksum
    print_table(
        f"Rebuild: {count:,} events of {GROUPS * CONCURRENT_SESSIONS:,} sessions, compared "
        "and swapped in",
        [
            Row("live projection of the same events", per_second(live, "events")),
            rate_row("rebuild", "events", alone.rate, baseline, min_rate=TARGET),
            rate_row(
                f"rebuild while {WRITES_PER_SECOND} events/s are written and projected",
                "events",
                under_writes.rate,
                alone.rate,
            ),
            Row("killed midway and resumed", f"same checksum, {resumed.checksum}"),
        ],
    )


def _interleaved(template: Sequence[Record]) -> list[Record]:
    """Records of concurrent sessions, interleaved like in the log."""
    sessions = [_with_new_session_id(template) for _ in range(CONCURRENT_SESSIONS)]
    return [record for step in zip(*sessions, strict=True) for record in step]


def _with_new_session_id(template: Sequence[Record]) -> list[Record]:
    key = str(uuid4()).encode()
    return [
        Record(key, [(n, key if n == "ce_subject" else v) for n, v in record.headers], record.value)
        for record in template
    ]


async def _rebuild(settings: Mapping[str, str]) -> RebuildResult:
    rebuild = await _start_rebuild(settings)
    output, _ = await rebuild.communicate()
    assert rebuild.returncode == 0, output
    summary = _SUMMARY.search(output.decode())
    assert summary, output
    return RebuildResult(float(summary[1].replace(",", "")), summary[2])


async def _rebuild_and_kill(
    settings: Mapping[str, str], connection: "asyncpg.Connection[asyncpg.Record]", events: int
) -> None:
    rebuild = await _start_rebuild(settings)
    version = None
    while version is None or await projected_records(connection, version) < events:
        await asyncio.sleep(0.05)
        version = await connection.fetchval(NEWEST)
    rebuild.send_signal(signal.SIGKILL)
    await rebuild.communicate()


async def _start_rebuild(settings: Mapping[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "parley_history", "rebuild"),
        env=os.environ | settings,
        stdout=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def _writes_at_fixed_rate(
    writer: LogWriter, template: Sequence[Record]
) -> AsyncIterator[None]:
    def records() -> Iterator[Record]:
        while True:
            yield from _with_new_session_id(template)

    async def write() -> None:
        endless = records()
        while True:
            await publish(writer, [*islice(endless, WRITES_PER_SECOND // 10)])
            await asyncio.sleep(0.1)

    writing = asyncio.create_task(write())
    try:
        yield
        assert not writing.done()
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
