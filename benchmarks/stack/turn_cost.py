"""Benchmark of the cost of turns: processor time by process, disk, log and network.

Turns with few and with many tokens are measured: the difference is what a token costs, the rest
what a turn costs. Processor time is that of replies at 20 tokens/s, without what the idle stack
uses meanwhile; bytes on disk are those of replies without pauses.
`benchmarks.sizing` and docs/scaling.md use the results.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg

from benchmarks.load.paced_client import PacedClient
from benchmarks.servers.processor_time import processor_seconds
from benchmarks.servers.running_stack import RunningStack, data_folder, fake_model, running_stack
from benchmarks.table import Row, print_table
from parley_cli.engines import PostgresServer

TOKEN_INTERVAL_SECONDS = 0.05
STREAMS = 60
SHORT_TOKENS, LONG_TOKENS = 10, 210
SHORT_TURNS, LONG_TURNS = 8, 2
# Files grow in steps: bytes need many turns, which a model server without pauses gives.
TURNS_FOR_BYTES = 25
# The projector, the indexer and the last commits of a phase are done by then.
SETTLE_SECONDS = 3
IDLE_SECONDS = 5
SETTINGS = {
    # One person has all streams.
    "PARLEY_GATEWAY_MAX_PERSON_SHARE": "1",
    "PARLEY_SESSION_TURN_MAX_PERSON_SHARE": "1",
}
TO_CLIENTS = "to clients"


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds of processor time by process, and bytes by place."""

    seconds: Mapping[str, float]
    bytes: Mapping[str, float]

    def since(self, before: "Usage", idle: Mapping[str, float], elapsed: float) -> "Usage":
        """The difference, without what the idle stack uses: `idle` are cores by process."""
        seconds = {
            name: used - before.seconds[name] - idle.get(name, 0) * elapsed
            for name, used in self.seconds.items()
        }
        return Usage(seconds, {name: n - before.bytes[name] for name, n in self.bytes.items()})


async def run() -> None:
    paced, unpaced = TOKEN_INTERVAL_SECONDS, 0.0
    short, long = await _turns(paced, SHORT_TURNS, LONG_TURNS)
    rows = [_row(name, short.seconds, long.seconds, 1e3, "ms", 1e6, "µs") for name in short.seconds]
    # Without pauses, several tokens are one event.
    rows.append(_row(TO_CLIENTS, short.bytes, long.bytes, 1, "bytes", 1, "bytes"))
    short, long = await _turns(unpaced, TURNS_FOR_BYTES, TURNS_FOR_BYTES)
    rows += [
        _row(name, short.bytes, long.bytes, 1, "bytes", 1, "bytes")
        for name in short.bytes
        if name != TO_CLIENTS
    ]
    print_table(
        f"What a turn costs ({STREAMS} streams of {1 / TOKEN_INTERVAL_SECONDS:.0f} tokens/s)", rows
    )


async def _turns(token_interval: float, short_turns: int, long_turns: int) -> tuple[Usage, Usage]:
    """What one turn with few tokens, and one with many, uses."""
    async with (
        data_folder() as data,
        fake_model(token_interval) as model,
        running_stack(data, model, **SETTINGS) as stack,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        client = PacedClient(http, stack)
        meter = _Meter(stack, await stack.processes())
        sessions = [await client.new_session() for _ in range(STREAMS)]
        # Not measured: caches, connections and prepared statements.
        await _chat(client, sessions, SHORT_TOKENS, 1)
        await asyncio.sleep(SETTLE_SECONDS)
        idle = await _idle_cores(meter)
        short = await _measured(client, meter, sessions, SHORT_TOKENS, short_turns, idle)
        long = await _measured(client, meter, sessions, LONG_TOKENS, long_turns, idle)
        return short, long


def _row(
    name: str,
    short: Mapping[str, float],
    long: Mapping[str, float],
    per_turn: float,
    unit: str,
    per_token: float,
    small_unit: str,
) -> Row:
    token = (long[name] - short[name]) / (LONG_TOKENS - SHORT_TOKENS)
    turn = short[name] - token * SHORT_TOKENS
    return Row(
        name,
        f"{turn * per_turn:,.2f} {unit} a turn",
        f"{token * per_token:,.1f} {small_unit} a token",
    )


async def _idle_cores(meter: "_Meter") -> Mapping[str, float]:
    before = await meter.usage(0)
    await asyncio.sleep(IDLE_SECONDS)
    after = await meter.usage(0)
    return {
        name: (used - before.seconds[name]) / IDLE_SECONDS for name, used in after.seconds.items()
    }


async def _measured(
    client: PacedClient,
    meter: "_Meter",
    sessions: list[str],
    tokens: int,
    turns: int,
    idle: Mapping[str, float],
) -> Usage:
    """What one turn used, on average."""
    before, started_at = await meter.usage(0), time.perf_counter()
    received = await _chat(client, sessions, tokens, turns)
    await asyncio.sleep(SETTLE_SECONDS)
    after, elapsed = await meter.usage(received), time.perf_counter() - started_at
    used, count = after.since(before, idle, elapsed), len(sessions) * turns
    return Usage(
        {name: seconds / count for name, seconds in used.seconds.items()},
        {name: number / count for name, number in used.bytes.items()},
    )


async def _chat(client: PacedClient, sessions: list[str], tokens: int, turns: int) -> int:
    """All sessions at once, one turn after another in each; return the bytes of their streams."""

    async def chat(session: str) -> int:
        received = 0
        for _ in range(turns):
            async with client.stream(session, tokens) as content:
                while data := await content.readany():
                    received += len(data)
        return received

    return sum(await asyncio.gather(*map(chat, sessions)))


class _Meter:
    def __init__(self, stack: RunningStack, processes: list[dict[str, object]]) -> None:
        self._data = stack.data
        self._pids = {
            str(each["name"]): int(str(each["pid"]))
            for each in processes
            if each["name"] != "demo-model"
        }
        address = next(str(each["address"]) for each in processes if each["name"] == "postgres")
        self._dsn = PostgresServer(stack.data, int(address.rpartition(":")[2])).dsn()

    async def usage(self, received: int) -> Usage:
        """`received` are bytes that the clients got."""
        return Usage(
            {name: processor_seconds(pid) for name, pid in self._pids.items()},
            {
                **await self._database_bytes(),
                "log (Kafka)": _log_bytes(self._data / "kafka"),
                TO_CLIENTS: received,
            },
        )

    async def _database_bytes(self) -> dict[str, float]:
        connection = await asyncpg.connect(self._dsn)
        try:
            row = await connection.fetchrow(
                "SELECT pg_database_size('parley_session') AS event_store, "
                "pg_database_size('parley_history') AS read_model, "
                "pg_current_wal_lsn() - '0/0' AS wal"
            )
        finally:
            await connection.close()
        assert row is not None
        return {
            "event store": row["event_store"],
            "read model": row["read_model"],
            "write-ahead log (PostgreSQL)": float(row["wal"]),
        }


def _log_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.log"))
