"""Benchmark of a session of 10,000 messages that no process has in memory, and of its next turn.

The baseline loads the same session without its snapshot, from all its events. The turn is that of
the session and inference services up to the request to the model server, without HTTP.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from statistics import median
from uuid import UUID, uuid4

import asyncpg
import msgspec

from benchmarks.load.loop_lag import longest_block
from benchmarks.load.sample_conversations import sample_appends
from benchmarks.servers.engines import postgres
from benchmarks.table import Row, limit_row, milliseconds, print_table, time_row
from parley_contracts.session_api.turns import TurnInput
from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.auth.service_keys import ServiceKeys
from parley_core.crypto.master_keys import MasterKeys
from parley_core.crypto.sealing import DataKey
from parley_core.http.server import GC_THRESHOLDS
from parley_core.limits.rules import LimitRules
from parley_core.process.process_monitor import ProcessMonitor
from parley_core.storage.migrations import load_migrations, migrate
from parley_events.cloudevents import encode
from parley_inference.session.context_window_cache import ContextWindowCache, build_prompt
from parley_session.application.assistants.definitions_file import read_assistants
from parley_session.application.assistants.seeding import seed_assistants
from parley_session.application.model_prices import ModelPrices
from parley_session.application.turns.submit_message import NewMessages
from parley_session.domain.context_window import CachedWindow
from parley_session.domain.retention_policy import RetentionPolicies
from parley_session.domain.session.commands import CompleteReply
from parley_session.key_management.keyring import Keyring
from parley_session.settings import SessionSettings
from parley_session.storage.migrations import MIGRATIONS
from parley_session.wiring import Services, session_services

MESSAGES, ROUNDS = 10_000, 9
LOAD_TARGET, TURN_TARGET, BLOCK_TARGET = 0.100, 0.200, 0.050
# Of an ordinary model, and of one whose window holds the whole session.
BUDGETS = {"24,000 tokens": 24_000, "all messages": 10_000_000}
MASTER_KEY = "k:" + "a" * 43 + "="
CALLER = Caller(Principal("default", "ada"), "benchmark")

_Sample = tuple[float, float]
"""The seconds of some work, and of the longest block of the event loop in it."""


async def run() -> None:
    async with postgres() as dsn:
        session_id = await _prepare(dsn)
        # As the services do: the events made here would be scanned in each collection.
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        rows = await _loads(dsn, session_id)
        for label, budget in BUDGETS.items():
            rows += await _turns(dsn, session_id, label, budget)
    print_table(f"A session of {MESSAGES:,} messages", rows)


async def _loads(dsn: str, session_id: UUID) -> list[Row]:
    whole: list[_Sample] = []
    snapshot: list[_Sample] = []
    for _ in range(ROUNDS):
        await _remove_snapshot(dsn)
        # The first load writes the snapshot that the second one uses.
        for samples in (whole, snapshot):
            async with _services(dsn) as services:
                samples.append(await _measure(lambda: services.store.load(session_id)))
    (from_events, block), (from_snapshot, snapshot_block) = map(_medians, (whole, snapshot))
    return [
        time_row("load, baseline all events", from_snapshot, from_events),
        limit_row("load from a snapshot", from_snapshot, LOAD_TARGET),
        limit_row("longest block of the event loop in it", snapshot_block, BLOCK_TARGET),
        limit_row("longest block in a load from all events", block, BLOCK_TARGET),
    ]


async def _turns(dsn: str, session_id: UUID, label: str, budget: int) -> list[Row]:
    cold: list[_Sample] = []
    warm: list[_Sample] = []
    for _ in range(ROUNDS):
        async with _services(dsn) as services:
            windows, runner = ContextWindowCache(256 * 1024 * 1024), uuid4()
            await services.turns.heartbeat(runner, [], 100)
            for samples in (cold, warm):
                turn = _Turn(services, windows, session_id, runner, budget)
                samples.append(await _measure(turn.open))
                await turn.end()
    (cold_seconds, block), (warm_seconds, _) = map(_medians, (cold, warm))
    return [
        limit_row(f"first turn, window of {label}", cold_seconds, TURN_TARGET),
        limit_row("longest block of the event loop in it", block, BLOCK_TARGET),
        Row("the next turn", milliseconds(warm_seconds)),
    ]


class _Turn:
    """From the message to the body of the request to the model server."""

    def __init__(
        self,
        services: Services,
        windows: ContextWindowCache,
        session_id: UUID,
        runner: UUID,
        budget: int,
    ) -> None:
        self._services, self._windows, self._session_id = services, windows, session_id
        self._runner, self._budget = runner, budget
        self._turn_id: UUID | None = None

    async def open(self) -> None:
        opened = await self._services.turn_commands.submit(
            self._session_id, NewMessages("And then?"), CALLER, None, "reject"
        )
        turn = opened.turn
        self._turn_id = turn.id
        cached = self._windows.get_ref(self._session_id)
        claim = await self._services.lifecycle.claim(
            turn.id,
            self._runner,
            CALLER.principal,
            cached=CachedWindow(**msgspec.structs.asdict(cached)) if cached else None,
            budgets={"demo": self._budget},
        )
        # As it travels from session to inference: two processes.
        encoded = msgspec.json.encode(claim.turn_input)
        await asyncio.sleep(0)
        turn_input = msgspec.json.decode(encoded, type=TurnInput)
        window = self._windows.update(self._session_id, turn_input.context)
        prompt = build_prompt(turn_input.instructions, window, turn_input.context.tokens)
        msgspec.json.encode({"model": "demo", "messages": prompt.messages})

    async def end(self) -> None:
        assert self._turn_id is not None
        reply = CompleteReply(self._turn_id, "Then it ended.", "stop", 1, 2)
        await self._services.lifecycle.end(reply, self._runner, CALLER)


async def _measure(work: Callable[[], Awaitable[object]]) -> _Sample:
    async with longest_block() as block:
        started_at = time.perf_counter()
        await work()
        seconds = time.perf_counter() - started_at
    return seconds, block.seconds


def _medians(samples: list[_Sample]) -> _Sample:
    return median(first for first, _ in samples), median(second for _, second in samples)


@asynccontextmanager
async def _services(dsn: str) -> AsyncIterator[Services]:
    """The session service without anything in memory."""
    settings = SessionSettings.model_validate(
        {
            "service_keys": ServiceKeys({}),
            "master_key": MASTER_KEY,
            "database": {"url": dsn},
            "kafka": {"bootstrap_servers": "127.0.0.1:1"},
            "default_model": "demo",
            "max_messages_per_session": 2 * MESSAGES,
        }
    )
    keyring, monitor = Keyring(settings.master_key), ProcessMonitor("session")
    async with session_services(
        settings, keyring, RetentionPolicies([]), LimitRules(), ModelPrices({}, ""), monitor
    ) as services:
        yield services


async def _prepare(dsn: str) -> UUID:
    """Migrate the database and write the session into it."""
    session_id, keyring = uuid4(), Keyring(MasterKeys.parse(MASTER_KEY))
    key = DataKey.generate()
    events = [each for append in sample_appends(session_id, MESSAGES + 1, key) for each in append]
    connection = await asyncpg.connect(dsn)
    await migrate(connection, load_migrations(MIGRATIONS))
    await seed_assistants(connection, read_assistants(None))
    rows = [
        (each.session_id, each.sequence, each.id, each.type, each.time, encode(each).value.decode())
        for each in events
    ]
    columns = ["session_id", "sequence", "id", "type", "time", "data"]
    await connection.copy_records_to_table("events", records=rows, columns=columns)
    await connection.execute(
        """
        INSERT INTO sessions (id, tenant, owner, assistant_id, version, updated_at, wrapped_key)
        VALUES ($1, 'default', 'ada', 'helper', $2, $3, $4)
        """,
        session_id,
        events[-1].sequence,
        events[-1].time,
        await keyring.wrap(key, session_id),
    )
    await connection.execute("ANALYZE")
    await connection.close()
    return session_id


async def _remove_snapshot(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("UPDATE sessions SET snapshot = NULL, snapshot_version = NULL")
    await connection.close()
