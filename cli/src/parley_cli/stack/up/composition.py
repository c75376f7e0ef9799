"""Composition root: builds the secrets, engines, databases and services of a stack."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from parley_cli.engines import EngineError, free_port
from parley_cli.engines.kafka.kafka_server import OnDownload
from parley_cli.stack.certificates import StackCertificates
from parley_cli.stack.secret_store import SecretStore
from parley_cli.stack.stack_settings import UpSettings
from parley_cli.stack.supervision.process_group import ManagedProcess
from parley_cli.stack.supervision.service_process import ServiceProcess
from parley_cli.stack.supervision.startup_steps import Step
from parley_cli.stack.up import process_table
from parley_cli.stack.up.addresses import (
    CALLED_SERVICES,
    DEMO_MODEL,
    Addresses,
    join_host_port,
    reachable_host,
)
from parley_cli.stack.up.databases_sql import ServiceDatabase, contains_events, prepare_databases
from parley_cli.stack.up.engine_selection import EngineSelection
from parley_cli.stack.up.environments import (
    HISTORY_PROJECT_ROLE,
    HISTORY_SERVE_ROLE,
    SESSION_ROLE,
    Environments,
    StackConnections,
)
from parley_cli.stack.up.migration_steps import migration_step
from parley_cli.stack.up.monitoring_programs import Monitoring, configure_monitoring
from parley_core.log import LogError, ensure_topic
from parley_events.topics import (
    API_KEYS_PARTITIONS,
    API_KEYS_TOPIC,
    ASSISTANTS_PARTITIONS,
    ASSISTANTS_TOPIC,
    AUDIT_PARTITIONS,
    AUDIT_TOPIC,
    SESSIONS_TOPIC,
    TopicSpec,
)

TOPIC_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Composition:
    members: list[ManagedProcess]
    preparations: list[Step]
    engines: EngineSelection
    url: str
    authority_file: Path | None
    """Of the certificate of the gateway; None: without TLS."""
    monitoring: Monitoring | None


async def compose(
    settings: UpSettings,
    data: Path,
    replicas: Mapping[str, int],
    page: Path | None,
    on_download: OnDownload,
    *,
    with_monitoring: bool = False,
    with_tls: bool = False,
) -> Composition:
    """Build the stack without starting anything. Raises EngineError, SecretLost."""
    ports = iter(free_port, None)
    certificates = StackCertificates(data) if with_tls else None
    if certificates:
        certificates.issue((*CALLED_SERVICES, "kafka", "cli"), settings.host)
    kafka_tls = certificates.of_engine("kafka") if certificates else None
    engines = EngineSelection(settings, data, ports, on_download, kafka_tls)
    await engines.require_external()
    secrets = SecretStore(data)
    session, history = (
        ServiceDatabase(
            f"parley_{service}",
            secrets.password(f"{service}-database"),
            {role: secrets.password(f"{role}-role") for role in roles},
        )
        for service, roles in (
            ("session", (SESSION_ROLE,)),
            ("history", (HISTORY_PROJECT_ROLE, HISTORY_SERVE_ROLE)),
        )
    )
    connections = StackConnections(
        session_owner_database=session.dsn(engines.postgres_url),
        session_database=session.dsn(engines.postgres_url, SESSION_ROLE),
        history_owner_database=history.dsn(engines.postgres_url),
        history_project_database=history.dsn(engines.postgres_url, HISTORY_PROJECT_ROLE),
        history_serve_database=history.dsn(engines.postgres_url, HISTORY_SERVE_ROLE),
        kafka=engines.kafka_variables,
        redis=engines.redis_url,
        signing_keys=secrets.create_signing_keys(),
        master_key=await _master_key(settings, engines, secrets, data),
        jwt_secret=None
        if settings.oidc_issuers
        else _value(settings.jwt_secret) or secrets.jwt_secret(),
    )
    gateway = join_host_port(settings.host, settings.port)
    scheme = "https" if certificates else "http"
    addresses = Addresses(gateway, replicas, ports, scheme=scheme)
    environments = Environments(settings, addresses, connections, page, certificates)
    monitoring = configure_monitoring(data, addresses, ports) if with_monitoring else None
    observers = monitoring.processes if monitoring else ()
    return Composition(
        [
            *_members(settings, data, engines, addresses, environments),
            *(
                ManagedProcess(ServiceProcess(spec, data), (), process_table.stop_stage(spec.name))
                for spec in observers
            ),
        ],
        [
            *_preparations(settings, engines, (session, history)),
            *(
                migration_step(service, environments.of_migration(service), data)
                for service in ("session", "history")
            ),
        ],
        engines,
        f"{scheme}://{join_host_port(reachable_host(settings.host), settings.port)}",
        certificates.authority_file if certificates else None,
        monitoring,
    )


async def _master_key(
    settings: UpSettings, engines: EngineSelection, secrets: SecretStore, data: Path
) -> Mapping[str, str]:
    if given := _value(settings.master_key):
        return {"PARLEY_MASTER_KEY": given}
    secrets.master_key(may_create=not await _may_contain_sessions(engines, data))
    # The variable names the file, which session re-reads when it changes.
    return {"PARLEY_MASTER_KEY_FILE": str(secrets.master_key_path)}


async def _may_contain_sessions(engines: EngineSelection, data: Path) -> bool:
    """Whether sessions may be stored already, whose keys are wrapped with the master key."""
    if engines.postgres:
        return (data / "postgres").exists()
    return await contains_events(engines.admin_dsn(), "parley_session")


def _members(
    settings: UpSettings,
    data: Path,
    engines: EngineSelection,
    addresses: Addresses,
    environments: Environments,
) -> Iterator[ManagedProcess]:
    for server in engines.embedded:
        yield ManagedProcess(server, (), process_table.stop_stage(server.name))
    if settings.runs_demo_model:
        demo_model = ServiceProcess(process_table.demo_model(addresses), data)
        yield ManagedProcess(demo_model, (), process_table.stop_stage(DEMO_MODEL))
    for service, spec in process_table.services(addresses, environments):
        depends_on = process_table.STARTUP_DEPENDENCIES.get(service, ())
        yield ManagedProcess(
            ServiceProcess(spec, data),
            depends_on,
            process_table.stop_stage(service),
            spec.management,
        )


def _preparations(
    settings: UpSettings, engines: EngineSelection, databases: Sequence[ServiceDatabase]
) -> Iterator[Step]:
    embedded = {server.name for server in engines.embedded}
    prepare = partial(_prepare_databases, engines, databases)
    yield Step("databases", prepare, ("postgres",) if "postgres" in embedded else ())
    yield Step(
        "topic",
        partial(_create_topics, settings, engines),
        ("kafka",) if "kafka" in embedded else (),
    )


async def _prepare_databases(
    engines: EngineSelection, databases: Sequence[ServiceDatabase]
) -> None:
    restrict_server = engines.postgres is not None
    await prepare_databases(engines.admin_dsn(), databases, restrict_server=restrict_server)


async def _create_topics(settings: UpSettings, engines: EngineSelection) -> None:
    replication = settings.topic_replication, settings.topic_min_isr
    try:
        await asyncio.gather(
            *(
                ensure_topic(engines.brokers, spec, TOPIC_TIMEOUT_SECONDS)
                for spec in (
                    TopicSpec(SESSIONS_TOPIC, settings.topic_partitions, *replication),
                    TopicSpec(ASSISTANTS_TOPIC, ASSISTANTS_PARTITIONS, *replication),
                    TopicSpec(API_KEYS_TOPIC, API_KEYS_PARTITIONS, *replication),
                    TopicSpec(AUDIT_TOPIC, AUDIT_PARTITIONS, *replication),
                )
            )
        )
    except LogError as error:
        raise EngineError(str(error)) from error


def _value(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
