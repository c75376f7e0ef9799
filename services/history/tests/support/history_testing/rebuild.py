"""Runs the commands `rebuild` and `verify`, and inspects their results."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from history_testing.read_model import MAX_DEFERRED, ReadModelTables, Rows
from parley_core.log import Brokers, LogReader
from parley_history.__main__ import main
from parley_history.domain.incoming_record import decode_incoming
from parley_history.projection.active_read_model import ActiveReadModel
from parley_history.storage.positions import PositionUpdate
from parley_testing.processes import started


@dataclass
class Result:
    code: int
    output: str
    error: str


class RebuildRunner:
    def __init__(
        self,
        tables: ReadModelTables,
        bootstrap_servers: str,
        topic: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.tables, self.topic = tables, topic
        self._bootstrap_servers, self._monkeypatch = bootstrap_servers, monkeypatch
        self._capsys = capsys
        self._environment = {
            "PARLEY_HISTORY_DATABASE_URL": tables.dsn,
            "PARLEY_KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "PARLEY_HISTORY_TOPIC": topic,
        }

    async def project(self) -> None:
        """Project the whole log into the active version."""
        reader = LogReader(Brokers(self._bootstrap_servers), self.topic)
        await reader.start()
        read_model = ActiveReadModel(self.tables.settings, MAX_DEFERRED)
        ends = await reader.end_positions()
        positions = dict(await read_model.positions_of([*ends]))
        reader.seek(positions)
        while positions != ends:
            entries = await reader.read()
            reached = reader.positions
            updates = [
                PositionUpdate(number, positions[number], at) for number, at in reached.items()
            ]
            await read_model.apply([decode_incoming(*entry) for entry in entries], updates)
            positions |= reached
        await read_model.close()
        await reader.close()

    async def start(self, *command: str, **variables: str) -> asyncio.subprocess.Process:
        """Start a separate process, which may be killed."""
        return await started("parley_history", *command, **self._environment | variables)

    async def run(self, *command: str, **variables: str) -> Result:
        """Run in the test process, which has loaded all modules; workers are processes anyway."""
        with self._monkeypatch.context() as patch:
            for name, value in (self._environment | variables).items():
                patch.setenv(name, value)
            patch.setattr("sys.argv", ["parley_history", *command])
            self._capsys.readouterr()
            code = await asyncio.to_thread(main)
        return Result(code, *self._capsys.readouterr())

    async def result_of(self, process: asyncio.subprocess.Process) -> Result:
        async with asyncio.timeout(60):
            output, error = await process.communicate()
        assert process.returncode is not None
        return Result(process.returncode, output.decode(), error.decode())

    def workers_of(self, process: asyncio.subprocess.Process) -> list[int]:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    async def active(self) -> int:
        version: int = await self.tables.connection.fetchval(
            "SELECT version FROM active_read_model"
        )
        return version

    async def schemas(self) -> list[str]:
        rows = await self.tables.connection.fetch(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'read_model_%' ORDER BY 1"
        )
        return [row["nspname"] for row in rows]

    async def applied(self, version: int) -> int:
        """Return the number of records applied to the version; 0 before it exists."""
        table = f"read_model_{version}.positions"
        if await self.tables.connection.fetchval("SELECT to_regclass($1)", table) is None:
            return 0
        applied = await self.tables.connection.fetchval(f"SELECT sum(next) FROM {table}")
        return int(applied or 0)

    async def rows(self, version: int) -> Rows:
        await self.tables.enter(version)
        return await self.tables.rows()
