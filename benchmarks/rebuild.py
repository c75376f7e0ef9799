"""A rebuild of a million events: its rate, killed midway and resumed, and while others write."""

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

from benchmarks.conversations import appends_of
from benchmarks.engines import kafka, postgres
from benchmarks.projection import PARTITIONS, bare_rate, projected, projected_rate, projecting
from benchmarks.table import Line, per_second, print_table
from parley_core.log import Brokers, LogWriter, ensure_topic
from parley_events.cloudevents import Record, encode
from parley_events.topics import SESSIONS_TOPIC, TopicSpec
from parley_history.storage.migrations import migrate_history

APPENDS, SIDE_BY_SIDE, GROUPS = 67, 400, 25  # A hundred events a session: a million.
FLOOR_SESSIONS = 400
WRITES_PER_SECOND, AIM = 200, 40_000
NEWEST = "SELECT max(version) FROM read_models WHERE indexed_at IS NULL"

_SUMMARY = re.compile(r"is live: [\d,]+ events in [\d.]+ s \(([\d,]+) events/s\), checksum (\S+)")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """Events a second from the first to the swap, and the checksum of what was swapped in."""

    rate: float
    checksum: str


async def run() -> None:
    events = [event for append in appends_of(uuid4(), APPENDS) for event in append]
    template = [encode(event) for event in events]
    count = GROUPS * SIDE_BY_SIDE * len(template)
    async with postgres() as dsn, kafka() as bootstrap, _writer(bootstrap) as writer:
        settings = {
            "PARLEY_HISTORY_DATABASE_URL": dsn,
            "PARLEY_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        }
        connection = await asyncpg.connect(dsn)
        await migrate_history(connection)
        for _ in range(GROUPS):
            await _publish(writer, _side_by_side(template))
        live = await projected_rate(settings, connection, count, "benchmark")
        others = (uuid4() for _ in range(FLOOR_SESSIONS))
        floor = await bare_rate(
            connection, [replace(event, session_id=other) for other in others for event in events]
        )
        alone = await _rebuilt(settings)
        await _killed_midway(settings, connection, count // 2)
        resumed = await _rebuilt(settings)
        async with projecting(settings, "benchmark"), _steady_writes(writer, template):
            meanwhile = await _rebuilt(settings)
        await connection.close()
    # Each was compared with the live projection too, before it was swapped in.
    assert alone.checksum == resumed.checksum
    print_table(
        f"Rebuild: {count:,} events of {GROUPS * SIDE_BY_SIDE:,} sessions, compared and swapped in",
        [
            Line("the live projection of the same", per_second(live, "events")),
            Line(
                "rebuild",
                per_second(alone.rate, "events"),
                per_second(floor, "events"),
                alone.rate / floor,
                f">= {AIM:,}/s",
                alone.rate >= AIM,
            ),
            Line(
                f"rebuild while {WRITES_PER_SECOND} events a second are written and projected",
                per_second(meanwhile.rate, "events"),
                per_second(alone.rate, "events"),
                meanwhile.rate / alone.rate,
            ),
            Line("killed midway and resumed", f"the same checksum, {resumed.checksum}"),
        ],
    )


@asynccontextmanager
async def _writer(bootstrap: str) -> AsyncIterator[LogWriter]:
    brokers = Brokers(bootstrap)
    await ensure_topic(brokers, TopicSpec(SESSIONS_TOPIC, PARTITIONS, 1, 1))
    writer = LogWriter(brokers, SESSIONS_TOPIC)
    await writer.start()
    try:
        yield writer
    finally:
        await writer.close()


async def _publish(writer: LogWriter, records: Sequence[Record]) -> None:
    for start in range(0, len(records), 5_000):
        appended = await writer.append(records[start : start + 5_000], timeout=60)
        assert appended.error is None, appended.error


def _side_by_side(template: Sequence[Record]) -> list[Record]:
    """As the log has them: sessions that go on at the same time."""
    sessions = [_as_another_session(template) for _ in range(SIDE_BY_SIDE)]
    return [record for step in zip(*sessions, strict=True) for record in step]


def _as_another_session(template: Sequence[Record]) -> list[Record]:
    key = str(uuid4()).encode()
    return [
        Record(key, [(n, key if n == "ce_subject" else v) for n, v in record.headers], record.value)
        for record in template
    ]


async def _rebuilt(settings: Mapping[str, str]) -> Rebuilt:
    rebuild = await _start_rebuild(settings)
    output, _ = await rebuild.communicate()
    assert rebuild.returncode == 0, output
    summary = _SUMMARY.search(output.decode())
    assert summary, output
    return Rebuilt(float(summary[1].replace(",", "")), summary[2])


async def _killed_midway(
    settings: Mapping[str, str], connection: "asyncpg.Connection[asyncpg.Record]", events: int
) -> None:
    rebuild = await _start_rebuild(settings)
    version = None
    while version is None or await projected(connection, version) < events:
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
async def _steady_writes(writer: LogWriter, template: Sequence[Record]) -> AsyncIterator[None]:
    def records() -> Iterator[Record]:
        while True:
            yield from _as_another_session(template)

    async def write() -> None:
        endless = records()
        while True:
            await _publish(writer, [*islice(endless, WRITES_PER_SECOND // 10)])
            await asyncio.sleep(0.1)

    writing = asyncio.create_task(write())
    try:
        yield
        assert not writing.done()
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
