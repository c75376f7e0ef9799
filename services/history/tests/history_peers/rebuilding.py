"""The commands `rebuild` and `verify`, run as processes, and what they left."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from history_peers.read_model import LIMITS, Database, Rows
from parley_core.log import Brokers, LogReader
from parley_history.__main__ import main
from parley_history.domain.incoming_record import arrival_of
from parley_history.projection.active_read_model import ReadModel
from parley_history.projection.batch_applier import PositionUpdate
from parley_testing.processes import started


@dataclass
class Ended:
    code: int
    said: str
    error: str


class Rebuilding:
    """`records` is the most that a batch has: small, so that stories go over many of them."""

    def __init__(
        self,
        tables: Database,
        bootstrap: str,
        topic: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.tables, self.topic = tables, topic
        self._monkeypatch, self._capsys = monkeypatch, capsys
        self.environment = {
            "PARLEY_HISTORY_DATABASE": tables.dsn,
            "PARLEY_KAFKA": bootstrap,
            "PARLEY_PROJECTOR_TOPIC": topic,
            "PARLEY_PROJECTOR_HELD_EVENTS": "5",
        }

    async def project(self) -> None:
        """Project what is in the log into the active version."""
        reader = LogReader(Brokers(self.environment["PARLEY_KAFKA"]), self.topic)
        await reader.start()
        read_model = ReadModel(self.tables.dsn, LIMITS)
        ends = await reader.end_positions()
        positions = dict(await read_model.positions_of([*ends]))
        reader.seek(positions)
        while positions != ends:
            entries = await reader.read()
            reached = reader.positions
            moves = [
                PositionUpdate(number, positions[number], at) for number, at in reached.items()
            ]
            await read_model.project([arrival_of(*entry) for entry in entries], moves)
            positions |= reached
        await read_model.close()
        await reader.close()

    async def start(self, *command: str, **settings: Any) -> asyncio.subprocess.Process:
        """A process of its own, which may be killed."""
        return await started("parley_history", *command, **self.environment | _variables(settings))

    async def run(self, *command: str, **settings: Any) -> Ended:
        """In this process, which has loaded everything; its workers are processes anyway."""
        with self._monkeypatch.context() as patch:
            for name, value in (self.environment | _variables(settings)).items():
                patch.setenv(name, value)
            patch.setattr("sys.argv", ["parley_history", *command])
            self._capsys.readouterr()
            code = await asyncio.to_thread(main)
        return Ended(code, *self._capsys.readouterr())

    async def end_of(self, process: asyncio.subprocess.Process) -> Ended:
        async with asyncio.timeout(60):
            said, error = await process.communicate()
        assert process.returncode is not None
        return Ended(process.returncode, said.decode(), error.decode())

    def workers_of(self, process: asyncio.subprocess.Process) -> list[int]:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    async def active(self) -> int:
        version: int = await self.tables.connection.fetchval(
            "SELECT version FROM active_read_model"
        )
        return version

    async def versions(self) -> list[int]:
        rows = await self.tables.connection.fetch("SELECT version FROM read_models ORDER BY 1")
        return [row["version"] for row in rows]

    async def schemas(self) -> list[str]:
        rows = await self.tables.connection.fetch(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'read_model_%' ORDER BY 1"
        )
        return [row["nspname"] for row in rows]

    async def done(self, version: int) -> int:
        """How many records the version has taken; 0 while there is no such version."""
        table = f"read_model_{version}.positions"
        if await self.tables.connection.fetchval("SELECT to_regclass($1)", table) is None:
            return 0
        taken = await self.tables.connection.fetchval(f"SELECT sum(next) FROM {table}")
        return int(taken or 0)

    async def rows(self, version: int) -> Rows:
        await self.tables.look_at(version)
        return await self.tables.rows()


def _variables(settings: dict[str, Any]) -> dict[str, str]:
    return {f"PARLEY_{name.upper()}": str(value) for name, value in settings.items()}
