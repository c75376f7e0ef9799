"""Which processes a stack has beside its engines: data, nothing started."""

from collections.abc import Iterator

from parley_cli.settings import variables
from parley_cli.stack.supervision.service_process import ProcessSpec
from parley_cli.stack.up.addresses import DEMO_MODEL, Addresses, host_and_port, replica_name
from parley_cli.stack.up.environments import Environments

ARGUMENTS = {
    "session": ("parley_session", "serve"),
    "inference": ("parley_inference",),
    "history-serve": ("parley_history", "serve"),
    "history-project": ("parley_history", "project"),
    "gateway": ("parley_gateway",),
}
# What must be done before a process starts; what it calls it waits for by itself.
NEEDS = {
    "session": ("session-migrate",),
    "history-serve": ("history-migrate",),
    "history-project": ("history-migrate", "topic"),
}
# Who calls ends before whom it calls: the stages of a stop, and how long each may take. What is
# left of the whole time is the engines'.
STOP_STAGES = (
    ("gateway",),
    ("inference",),
    ("session", "history-serve", "history-project", DEMO_MODEL),
    ("postgres", "kafka", "redis"),
)
STOP_SECONDS = 8.5
STOP_STAGE_SECONDS = (1.5, 3.5, 1.5, STOP_SECONDS)


def stop_stage(kind: str) -> int:
    return next(stage for stage, kinds in enumerate(STOP_STAGES) if kind in kinds)


def migrations(environments: Environments) -> Iterator[ProcessSpec]:
    """What brings the databases to this version, then ends."""
    session, history = environments.session_migration(), environments.history_database()
    yield ProcessSpec("session-migrate", ("parley_session", "migrate"), session)
    yield ProcessSpec("history-migrate", ("parley_history", "migrate"), history)


def services(addresses: Addresses, environments: Environments) -> Iterator[tuple[str, ProcessSpec]]:
    """Each process, with the service that it is one of."""
    for service, place in addresses.replicas():
        name = replica_name(service, place)
        environment = environments.of(service, place)
        yield service, ProcessSpec(name, ARGUMENTS[service], environment, addresses.of(name))


def demo_model(addresses: Addresses) -> ProcessSpec:
    address = addresses.of(DEMO_MODEL)
    arguments = ("parley_cli.demo_model", "--port", host_and_port(address)[1])
    environment = variables("PARLEY_DEMO_MODEL_")
    return ProcessSpec(DEMO_MODEL, arguments, environment, address, ready_path="/healthz")
