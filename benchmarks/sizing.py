"""Calculator of what a number of daily users needs: `python -m benchmarks.sizing --daily-users N`.

The costs are those of `benchmarks.stack.turn_cost` and of the table in README.md, measured on two
shared cores; docs/scaling.md says what they leave out. Model servers are not counted.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

LADDER = (100, 1_000, 10_000, 100_000, 1_000_000)
DAY_SECONDS = 86_400
# An event loop uses one core; at 70 % of it p99 stays within the objectives.
UTILISATION = 0.7
# One in each of three zones.
MIN_REPLICAS = 3
# As the autoscalers of deploy/k8s: of 2,000 streams and 200 turns that a process admits.
STREAMS_PER_GATEWAY, TURNS_PER_INFERENCE = 800, 100
# Pool and other connections of a process, as tests/test_deploy.py adds them up.
SESSION_CONNECTIONS, HISTORY_CONNECTIONS, PROJECTOR_CONNECTIONS = 22, 12, 2
POSTGRES_CONNECTIONS = 200
# Partitions of the topic; a projector has at least two.
PARTITIONS = 48
# The largest server that one would want to operate for one database: beyond, use cells.
MAX_DATABASE_CORES, MAX_DATABASE_BYTES = 32, 8e12
# Messages submitted, replies requested, replies completed.
EVENTS_PER_TURN = 3


class Cost(NamedTuple):
    """Of one process or engine: core seconds of a turn and of a token of its reply."""

    turn: float
    token: float

    def cores(self, load: "Load") -> float:
        return load.turns * self.turn + load.tokens * self.token


# Measured by `python -m benchmarks turn_cost`, rounded up.
GATEWAY = Cost(3.3e-3, 62e-6)
SESSION = Cost(5.4e-3, 6e-6)
INFERENCE = Cost(4.5e-3, 94e-6)
PROJECTOR = Cost(0.4e-3, 4e-6)
POSTGRES = Cost(2.2e-3, 7e-6)
KAFKA = Cost(1.0e-3, 0)
REDIS = Cost(0.3e-3, 4e-6)
# Measured by `python -m benchmarks history`: a cached page with its system calls, and another.
CACHED_READ_SECONDS, READ_SECONDS = 40e-6, 1.4e-3
# Bytes of a turn, and of a token of its reply. Half of the read model's are the search index of two
# messages, as `python -m benchmarks search` measured it: the words of turn_cost are all the same.
STORE_BYTES, READ_MODEL_BYTES, LOG_BYTES = Cost(2_300, 11), Cost(3_600, 6), Cost(1_100, 9)
CLIENT_BYTES = Cost(1_300, 81)
PAGE_BYTES = 7_600
# Measured by `python -m benchmarks idle_streams`: gateway and inference together, resident.
STREAM_BYTES = 126e3
# Resident memory of a process under load with full caches, measured by `benchmarks.overload.soak`
# without its large bodies.
GATEWAY_BYTES, SESSION_BYTES, INFERENCE_BYTES = 190e6, 230e6, 230e6
HISTORY_SERVE_BYTES, HISTORY_PROJECT_BYTES = 120e6, 95e6


def _habit(default: float, description: str) -> float:
    number: float = field(default=default, metadata={"description": description})
    return number


@dataclass(frozen=True)
class Habits:
    """What people do; each is a parameter of the command."""

    turns: float = _habit(10, "turns of one user a day")
    tokens: float = _habit(300, "tokens of a reply")
    pace: float = _habit(30, "tokens that a model server sends in a second to one reply")
    reads: float = _habit(3, "history pages read for each turn")
    cached: float = _habit(0.8, "share of these that the gateway has in memory")
    peak: float = _habit(4, "busiest hour, as a multiple of the mean of the day")
    days: float = _habit(365, "days whose events are stored, which erasing does not remove")


@dataclass(frozen=True, slots=True)
class Load:
    """At the peak: per second, and open streams."""

    turns: float
    tokens: float
    streams: float
    reads: float
    events: float


@dataclass(frozen=True, slots=True)
class Process:
    """Replicas, and what bounds their number: `processor`, `streams` or `zones`."""

    cores: float
    replicas: int
    bound: str


@dataclass(frozen=True, slots=True)
class Sizing:
    """Cores, memory of the processes, bits per second at the peak; bytes on disk after `days`."""

    load: Load
    gateway: Process
    session: Process
    inference: Process
    history_serve: Process
    history_project: Process
    session_database_cores: float
    history_database_cores: float
    kafka_cores: float
    redis_cores: float
    memory_bytes: float
    session_connections: int
    history_connections: int
    store_bytes: float
    read_model_bytes: float
    log_bytes: float
    client_bits: float
    cells: int

    @property
    def advice(self) -> list[str]:
        """What this size needs besides replicas."""
        advice = []
        if max(self.session_connections, self.history_connections) > POSTGRES_CONNECTIONS - 10:
            advice.append("raise max_connections, or smaller pools")
        if self.history_project.replicas > PARTITIONS // 2:
            advice.append(f"a topic of more than {PARTITIONS} partitions")
        if self.history_database_cores > MAX_DATABASE_CORES / 4:
            advice.append("read replicas of history's PostgreSQL")
        if self.store_bytes > MAX_DATABASE_BYTES / 4:
            advice.append("an event store partitioned by session id")
        if self.cells > 1:
            advice.append(f"{self.cells} cells")
        return advice


def size(daily_users: float, habits: Habits) -> Sizing:
    """Raises ValueError if a number is not above 0."""
    if daily_users <= 0 or any(getattr(habits, each.name) <= 0 for each in fields(habits)):
        raise ValueError("every number should be above 0")
    if habits.cached > 1:
        raise ValueError("the share of cached reads should be at most 1")
    load = peak_load(daily_users, habits)
    uncached = load.reads * (1 - habits.cached)
    all_turns = daily_users * habits.turns * habits.days
    session = _process(SESSION.cores(load))
    history_serve = _process(uncached * READ_SECONDS)
    history_project = _process(PROJECTOR.cores(load))
    store_bytes, read_model_bytes, log_bytes = (
        all_turns * (each.turn + habits.tokens * each.token)
        for each in (STORE_BYTES, READ_MODEL_BYTES, LOG_BYTES)
    )
    # Half of a turn's work in PostgreSQL is the event store's, half the read model's.
    session_database_cores = POSTGRES.cores(load) / 2
    history_database_cores = POSTGRES.cores(load) / 2 + uncached * READ_SECONDS / 2
    gateway = _process(
        GATEWAY.cores(load) + load.reads * CACHED_READ_SECONDS,
        load.streams / STREAMS_PER_GATEWAY,
    )
    inference = _process(INFERENCE.cores(load), load.streams / TURNS_PER_INFERENCE)
    client_bytes = load.turns * CLIENT_BYTES.turn + load.tokens * CLIENT_BYTES.token
    return Sizing(
        load=load,
        gateway=gateway,
        session=session,
        inference=inference,
        history_serve=history_serve,
        history_project=history_project,
        session_database_cores=session_database_cores,
        history_database_cores=history_database_cores,
        kafka_cores=KAFKA.cores(load),
        redis_cores=REDIS.cores(load),
        memory_bytes=load.streams * STREAM_BYTES
        + gateway.replicas * GATEWAY_BYTES
        + session.replicas * SESSION_BYTES
        + inference.replicas * INFERENCE_BYTES
        + history_serve.replicas * HISTORY_SERVE_BYTES
        + history_project.replicas * HISTORY_PROJECT_BYTES,
        session_connections=(session.replicas + 1) * SESSION_CONNECTIONS,
        history_connections=(history_serve.replicas + 1) * HISTORY_CONNECTIONS
        + history_project.replicas * PROJECTOR_CONNECTIONS,
        store_bytes=store_bytes,
        read_model_bytes=read_model_bytes,
        log_bytes=log_bytes,
        client_bits=8 * (client_bytes + load.reads * PAGE_BYTES),
        cells=math.ceil(
            max(
                max(session_database_cores, history_database_cores) / MAX_DATABASE_CORES,
                max(store_bytes, read_model_bytes) / MAX_DATABASE_BYTES,
            )
        ),
    )


def peak_load(daily_users: float, habits: Habits) -> Load:
    turns = daily_users * habits.turns * habits.peak / DAY_SECONDS
    return Load(
        turns,
        turns * habits.tokens,
        turns * habits.tokens / habits.pace,
        turns * habits.reads,
        turns * EVENTS_PER_TURN,
    )


def _process(cores: float, by_streams: float = 0) -> Process:
    by_processor = cores / UTILISATION
    bound = {by_processor: "processor", by_streams: "streams", MIN_REPLICAS: "zones"}
    largest = max(bound)
    return Process(cores, math.ceil(largest), bound[largest])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sizing",
        description="Print what numbers of daily users need, from measured costs.",
    )
    parser.add_argument(
        "--daily-users",
        type=int,
        nargs="+",
        default=LADDER,
        metavar="N",
        help=f"people who chat on one day (default: {', '.join(map(str, LADDER))})",
    )
    for habit in fields(Habits):
        parser.add_argument(
            f"--{habit.name}",
            type=float,
            default=habit.default,
            metavar="X",
            help=f"{habit.metadata['description']} (default {habit.default})",
        )
    options = parser.parse_args(arguments)
    habits = Habits(**{habit.name: getattr(options, habit.name) for habit in fields(Habits)})
    try:
        sizings = [size(users, habits) for users in options.daily_users]
    except ValueError as error:
        parser.error(str(error))
    _print(options.daily_users, sizings)
    return 0


def _print(daily_users: Sequence[int], sizings: Sequence[Sizing]) -> None:
    table = Table(title="At the peak", title_justify="left")
    table.add_column("daily users")
    for users in daily_users:
        table.add_column(f"{users:,}", justify="right")
    for label, cells in _rows(sizings):
        table.add_row(label, *cells)
    Console(width=60 + 14 * len(sizings)).print(table)
    for users, sizing in zip(daily_users, sizings, strict=True):
        if sizing.advice:
            print(f"{users:,} daily users need also: {'; '.join(sizing.advice)}.")


def _rows(sizings: Sequence[Sizing]) -> list[tuple[str, list[str]]]:
    def each(label: str, form: str, values: Sequence[float]) -> tuple[str, list[str]]:
        return label, [form.format(value) for value in values]

    def process(label: str, processes: Sequence[Process]) -> tuple[str, list[str]]:
        return label, [f"{p.replicas} ({p.cores:,.2f})" for p in processes]

    return [
        each("turns/s", "{:,.2f}", [s.load.turns for s in sizings]),
        each("tokens/s", "{:,.0f}", [s.load.tokens for s in sizings]),
        each("open streams", "{:,.0f}", [s.load.streams for s in sizings]),
        each("reads/s", "{:,.1f}", [s.load.reads for s in sizings]),
        each("events/s", "{:,.1f}", [s.load.events for s in sizings]),
        process("gateway: replicas (cores)", [s.gateway for s in sizings]),
        process("session", [s.session for s in sizings]),
        process("inference", [s.inference for s in sizings]),
        process("history-serve", [s.history_serve for s in sizings]),
        process("history-project", [s.history_project for s in sizings]),
        each("cores, session's PostgreSQL", "{:,.2f}", [s.session_database_cores for s in sizings]),
        each("cores, history's PostgreSQL", "{:,.2f}", [s.history_database_cores for s in sizings]),
        each("cores, Kafka", "{:,.2f}", [s.kafka_cores for s in sizings]),
        each("cores, Redis", "{:,.2f}", [s.redis_cores for s in sizings]),
        each("GB of memory, all processes", "{:,.1f}", [s.memory_bytes / 1e9 for s in sizings]),
        each("connections, session", "{:,}", [s.session_connections for s in sizings]),
        each("connections, history", "{:,}", [s.history_connections for s in sizings]),
        each("GB, event store", "{:,.1f}", [s.store_bytes / 1e9 for s in sizings]),
        each("GB, read model", "{:,.1f}", [s.read_model_bytes / 1e9 for s in sizings]),
        each("GB, log, each replica", "{:,.1f}", [s.log_bytes / 1e9 for s in sizings]),
        each("Mbit/s to clients", "{:,.1f}", [s.client_bits / 1e6 for s in sizings]),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
