"""Process table of a stack: the services to run, their order of start and stop."""

from collections.abc import Iterator

from parley_cli.settings import variables
from parley_cli.stack.supervision.service_process import ProcessSpec, python_module
from parley_cli.stack.up.addresses import DEMO_MODEL, Addresses, replica_name, split_host_port
from parley_cli.stack.up.environments import Environments

ARGUMENTS = {
    "session": ("parley_session", "serve"),
    "inference": ("parley_inference",),
    "history-serve": ("parley_history", "serve"),
    "history-project": ("parley_history", "project"),
    "gateway": ("parley_gateway",),
}
# Steps that must be done before a process starts. A service itself waits for those that it calls.
STARTUP_DEPENDENCIES = {
    "session": ("databases",),
    "history-serve": ("databases",),
    "history-project": ("databases", "topic"),
}
# Callers stop before the services that they call. The engines get the rest of the time.
STOP_STAGES = (
    ("gateway",),
    ("inference",),
    ("session", "history-serve", "history-project", DEMO_MODEL),
    ("postgres", "kafka", "redis", "prometheus", "grafana"),
)
STOP_TIMEOUT_SECONDS = 8.5
STOP_STAGE_TIMEOUTS = (1.5, 3.5, 1.5, STOP_TIMEOUT_SECONDS)


def stop_stage(process: str) -> int:
    return next(stage for stage, names in enumerate(STOP_STAGES) if process in names)


def services(addresses: Addresses, environments: Environments) -> Iterator[tuple[str, ProcessSpec]]:
    """Each process with the name of its service."""
    for service, index in addresses.replicas():
        name = replica_name(service, index)
        environment = environments.of(service, index)
        yield (
            service,
            ProcessSpec(
                name,
                python_module(*ARGUMENTS[service]),
                environment,
                addresses.of(name),
                addresses.management(name),
            ),
        )


def demo_model(addresses: Addresses) -> ProcessSpec:
    address = addresses.of(DEMO_MODEL)
    command = python_module("parley_cli.demo_model", "--port", split_host_port(address)[1])
    environment = variables("PARLEY_DEMO_MODEL_")
    return ProcessSpec(DEMO_MODEL, command, environment, address, ready_path="/healthz")
