"""Puts a stack together from the settings: its secrets, engines, databases and services."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from parley_cli.engines import EngineError, free_ports
from parley_cli.engines.process.child_process import ChildProcess
from parley_cli.engines.process.run_once import run_to_end
from parley_cli.settings import UpSettings
from parley_cli.stack.secret_store import SecretStore
from parley_cli.stack.supervision.process_group import ManagedProcess
from parley_cli.stack.supervision.service_process import ProcessSpec, ServiceProcess
from parley_cli.stack.supervision.startup_steps import Step
from parley_cli.stack.up import process_table as layout
from parley_cli.stack.up.addresses import (
    CALLED,
    DEMO_MODEL,
    MOST_REPLICAS,
    SERVICES,
    Addresses,
    joined,
)
from parley_cli.stack.up.databases import EmbeddedDatabase, holds_events, prepare_databases
from parley_cli.stack.up.engine_selection import EngineSelection
from parley_cli.stack.up.environments import Environments, ProcessEnvironment
from parley_core.log import LogError, ensure_topic
from parley_events.topics import ASSISTANTS_PARTITIONS, ASSISTANTS_TOPIC, SESSIONS_TOPIC, TopicSpec

# The engines have six, the demo model one, and replicas one that they share.
MOST_PORTS = 7 + MOST_REPLICAS * len(SERVICES) + len(CALLED)

TOPIC_SECONDS = 60.0


@dataclass(frozen=True)
class Composition:
    members: list[ManagedProcess]
    preparations: list[Step]
    engines: EngineSelection
    url: str


async def compose(settings: UpSettings, data: Path, replicas: Mapping[str, int]) -> Composition:
    """Nothing is started yet. Raises EngineError, SecretLost."""
    ports = iter(free_ports(MOST_PORTS))
    engines = EngineSelection(settings, data, ports)
    await engines.require_given()
    kept = SecretStore(data)
    session, history = (
        EmbeddedDatabase(f"parley_{owner}", kept.password(f"{owner}-database"))
        for owner in ("session", "history")
    )
    told = ProcessEnvironment(
        session_database=session.dsn(engines.postgres_url),
        history_database=history.dsn(engines.postgres_url),
        kafka=engines.brokers.bootstrap,
        redis=engines.redis_url,
        internal_secret=_given(settings.internal_secret) or kept.password("internal-secret"),
        master_key=_given(settings.master_key)
        or kept.master_key(may_make=not await _was_used(engines, data)),
        jwt_secret=None if settings.jwks_url else _given(settings.jwt_secret) or kept.jwt_secret(),
    )
    gateway = joined(settings.host, settings.port)
    addresses = Addresses(gateway, replicas, ports)
    environments = Environments(settings, addresses, told)
    return Composition(
        [*_members(settings, data, engines, addresses, environments)],
        [*_preparations(settings, data, engines, (session, history), environments)],
        engines,
        f"http://{gateway}",
    )


async def _was_used(engines: EngineSelection, data: Path) -> bool:
    """Whether sessions may be stored already, sealed with keys that only the master key opens."""
    if engines.postgres:
        return (data / "postgres").exists()
    return await holds_events(engines.administrator(), "parley_session")


def _members(
    settings: UpSettings,
    data: Path,
    engines: EngineSelection,
    addresses: Addresses,
    environments: Environments,
) -> Iterator[ManagedProcess]:
    for server in engines.embedded:
        yield ManagedProcess(server, (), layout.stop_stage(server.name))
    if settings.runs_demo_model:
        demo_model = ServiceProcess(layout.demo_model(addresses), data)
        yield ManagedProcess(demo_model, (), layout.stop_stage(DEMO_MODEL))
    for service, spec in layout.services(addresses, environments):
        needs = layout.NEEDS.get(service, ())
        yield ManagedProcess(ServiceProcess(spec, data), needs, layout.stop_stage(service))


def _preparations(
    settings: UpSettings,
    data: Path,
    engines: EngineSelection,
    databases: Sequence[EmbeddedDatabase],
    environments: Environments,
) -> Iterator[Step]:
    here = {server.name for server in engines.embedded}
    prepare = partial(_prepare_databases, engines, databases)
    yield Step("databases", prepare, ("postgres",) if "postgres" in here else ())
    yield Step(
        "topic", partial(_make_topic, settings, engines), ("kafka",) if "kafka" in here else ()
    )
    for spec in layout.migrations(environments):
        yield Step(spec.name, partial(_run_to_end, spec, data), ("databases",))


async def _prepare_databases(
    engines: EngineSelection, databases: Sequence[EmbeddedDatabase]
) -> None:
    whole_server = engines.postgres is not None
    await prepare_databases(engines.administrator(), databases, whole_server=whole_server)


async def _make_topic(settings: UpSettings, engines: EngineSelection) -> None:
    copies = settings.topic_replication, settings.topic_min_isr
    try:
        for name, partitions in (
            (SESSIONS_TOPIC, settings.topic_partitions),
            (ASSISTANTS_TOPIC, ASSISTANTS_PARTITIONS),
        ):
            await ensure_topic(engines.brokers, TopicSpec(name, partitions, *copies), TOPIC_SECONDS)
    except LogError as error:
        raise EngineError(str(error)) from error


async def _run_to_end(spec: ProcessSpec, data: Path) -> None:
    await run_to_end(
        ChildProcess(spec.name, data),
        spec.command,
        data,
        trouble=f"{spec.name} failed",
        environment=spec.environment,
    )


def _given(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
