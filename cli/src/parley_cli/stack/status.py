"""`parley status`: what runs on the data folder, each process asked now."""

import asyncio
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import asyncpg
from rich.console import Console
from rich.table import Table

from parley_cli.engines import PostgresServer
from parley_cli.engines.health_probes import kafka_answers, listens, postgres_answers, redis_pid
from parley_cli.stack.state_file import RunningProcess, read_stack
from parley_cli.stack.supervision.http_probe import get
from parley_core.log import Brokers


def status(data: Path, *, as_json: bool) -> int:
    """Print the processes; the exit code is 1 when nothing runs."""
    stack = read_stack(data)
    if stack is None:
        print(f"Nothing runs on {data.resolve()}: `parley up` starts it.", file=sys.stderr)
        return 1
    ready = asyncio.run(_ask_all(data, stack.processes))
    rows = [
        {"name": p.name, "pid": p.pid, "address": p.address, "ready": answers}
        for p, answers in zip(stack.processes, ready, strict=True)
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows)
    return 0


async def _ask_all(data: Path, processes: Iterable[RunningProcess]) -> list[bool]:
    return list(await asyncio.gather(*(_is_ready(data, process) for process in processes)))


async def _is_ready(data: Path, process: RunningProcess) -> bool:
    if process.pid is None:
        # It runs elsewhere, behind a login that is not ours to keep.
        return await listens(process.address)
    try:
        return _lives(process.pid) and await _answers(data, process, process.pid)
    except (OSError, asyncpg.InvalidAuthorizationSpecificationError):
        return False


async def _answers(data: Path, process: RunningProcess, pid: int) -> bool:
    match process.name:
        case "postgres":
            port = int(process.address.rpartition(":")[2])
            return await postgres_answers(PostgresServer(data, port).dsn())
        case "kafka":
            return await kafka_answers(Brokers(process.address))
        case "redis":
            return await redis_pid(f"redis://{process.address}/0") == pid
        case name:
            path = "/healthz" if name == "demo-model" else "/readyz"
            answer = await get(process.address, path)
            return answer is not None and answer[0] == 200


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _print_table(rows: Iterable[Mapping[str, Any]]) -> None:
    table = Table("NAME", "PID", "ADDRESS", "READY", box=None, pad_edge=False)
    for row in rows:
        pid = "elsewhere" if row["pid"] is None else str(row["pid"])
        table.add_row(row["name"], pid, row["address"], "yes" if row["ready"] else "no")
    Console(highlight=False).print(table)
