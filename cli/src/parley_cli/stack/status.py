"""Run of `parley status`: lists the processes of the stack and probes each one."""

import argparse
import asyncio
import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import asyncpg
from rich.console import Console
from rich.table import Table

from parley_cli.engines import PostgresServer
from parley_cli.engines.health_probes import (
    accepts_connections,
    kafka_answers,
    postgres_answers,
    redis_pid,
)
from parley_cli.errors import CommandError
from parley_cli.settings import DataSettings, load
from parley_cli.stack.embedded_engines import embedded_kafka, embedded_redis_url
from parley_cli.stack.state_file import RunningProcess, RunningStack, read_running_stack
from parley_cli.stack.supervision.http_probe import get

# Where processes that are no services of Parley are probed.
_READY_PATHS = {"demo-model": "/healthz", "prometheus": "/-/ready", "grafana": "/api/health"}


def status(options: argparse.Namespace) -> int:
    """Print the processes. Raises InvalidSettings, and CommandError if no stack runs."""
    # The client logs that it sends a password, which does not leave the machine.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    data = load(DataSettings).data
    stack = read_running_stack(data)
    if stack is None:
        raise CommandError(f"No stack runs on {data.resolve()}: start one with `parley up`.")
    ready = asyncio.run(_probe_all(data, stack))
    rows = [
        {"name": p.name, "pid": p.pid, "address": p.address, "ready": is_ready}
        for p, is_ready in zip(stack.processes, ready, strict=True)
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows)
    return 0


async def _probe_all(data: Path, stack: RunningStack) -> list[bool]:
    probes = (_is_ready(data, stack, process) for process in stack.processes)
    return list(await asyncio.gather(*probes))


async def _is_ready(data: Path, stack: RunningStack, process: RunningProcess) -> bool:
    if process.pid is None:
        # An external engine, whose credentials are not stored.
        return await accepts_connections(process.address)
    try:
        return _is_alive(process.pid) and await _probe(data, stack, process, process.pid)
    except (OSError, asyncpg.InvalidAuthorizationSpecificationError):
        return False


async def _probe(data: Path, stack: RunningStack, process: RunningProcess, pid: int) -> bool:
    match process.name:
        case "postgres":
            port = int(process.address.rpartition(":")[2])
            return await postgres_answers(PostgresServer(data, port).dsn())
        case "kafka":
            return await kafka_answers(embedded_kafka(data, stack, process.address).brokers)
        case "redis":
            return await redis_pid(embedded_redis_url(data, process)) == pid
        case name:
            path = _READY_PATHS.get(name, "/readyz")
            response = await get(process.management or process.address, path)
            return response is not None and response[0] == 200


def _is_alive(pid: int) -> bool:
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
