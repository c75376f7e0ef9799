"""`append-simulated`: appends simulated sessions to an empty event store, their content sealed."""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from parley_core.crypto.sealing import DataKey, seal
from parley_core.runtime.settings import load
from parley_core.storage.migrations import require_database_migrated
from parley_core.storage.postgres_pool import Pool, open_pool
from parley_events.cloudevents import decode_data
from parley_events.session import CompletionServed, Event
from parley_session.key_management.keyring import opened_keyring
from parley_session.operations.progress import Progress
from parley_session.settings import AppendSimulatedSettings
from parley_session.storage.event_store import EventStore, LoadedSession
from parley_session.storage.migrations import MIGRATIONS

_IS_EMPTY = "SELECT NOT EXISTS (SELECT FROM sessions)"


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    added = commands.add_parser(
        "append-simulated", help="append simulated sessions to an empty event store and exit"
    )
    added.add_argument("file", type=Path, help="JSON lines, as `parley log generate` writes them")


def run(arguments: argparse.Namespace) -> int:
    """Raises InvalidSettings, MigrationError."""
    settings = load(AppendSimulatedSettings)
    require_database_migrated(settings.database.url, MIGRATIONS)
    return asyncio.run(append_simulated(settings, arguments.file))


async def append_simulated(settings: AppendSimulatedSettings, file: Path) -> int:
    """Return the exit code: 1 if the store is not empty.

    A line is an event: `session_id`, `id`, `sequence`, `time`, `type`, `data` (its JSON), and in
    `content` the clear text of its sealed fields. One transaction appends them all: a running
    service would erase an expired session whose later events are still to come. Its relay then
    publishes them.
    """
    pool = open_pool(
        settings.database.url,
        max_connections=1,
        timeout_seconds=settings.database.timeout_seconds,
        application_name="parley-append-simulated",
    )
    async with (
        opened_keyring(settings.master_key) as keyring,
        pool,
        pool.acquire() as connection,
        connection.transaction(),
    ):
        if not await connection.fetchval(_IS_EMPTY):
            print(
                "The event store has sessions: simulated ones are only added to an empty store.",
                file=sys.stderr,
            )
            return 1
        store = EventStore(_PoolOfOne(connection), keyring, max_cache_bytes=1)
        return await _append(SimulatedSessions(store), file)


async def _append(sessions: "SimulatedSessions", file: Path) -> int:
    with file.open(encoding="utf-8") as lines:
        progress = Progress("Appended", sum(1 for _ in lines))
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            await sessions.append(json.loads(line))
            progress.add(1)
    print(f"Appended {progress.done:,} events of simulated sessions.")
    return 0


class _PoolOfOne(Pool):
    """Runs everything on one connection, in its transaction."""

    def __init__(self, connection: "PoolConnectionProxy[asyncpg.Record]") -> None:
        self._connection = connection

    @asynccontextmanager
    async def acquire(self) -> "AsyncIterator[PoolConnectionProxy[asyncpg.Record]]":
        yield self._connection


class SimulatedSessions:
    """Appends events in any order of sessions; in memory: the state of all sessions."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._loaded: dict[UUID, LoadedSession] = {}

    async def append(self, line: Mapping[str, Any]) -> None:
        loaded = self._loaded.get(UUID(line["session_id"]))
        key = loaded.key if loaded else DataKey.generate()
        event = _event(line, key)
        if isinstance(event.data, CompletionServed):
            is_appended = await self._store.append_single_event_stream(event)
        else:
            appended = await self._store.append(loaded, [event], key=key)
            is_appended = appended is not None
            if appended is not None:
                self._loaded[event.session_id] = appended
        if not is_appended:
            raise RuntimeError(f"event {event.sequence} of {event.session_id} has no predecessor")


def _event(line: Mapping[str, Any], key: DataKey) -> Event:
    session_id, event_id = UUID(line["session_id"]), UUID(line["id"])
    data = decode_data(line["type"], line["data"].encode())
    sealed = {
        name: seal(key, plaintext, session_id=session_id, event_id=event_id, field=name)
        for name, plaintext in line["content"].items()
    }
    time = datetime.fromisoformat(line["time"])
    return Event(event_id, session_id, line["sequence"], time, data.model_copy(update=sealed))
