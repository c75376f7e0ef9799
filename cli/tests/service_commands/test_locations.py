"""Locations of the log and stores: variables first, then the stack of the data folder."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from parley_cli.__main__ import main
from parley_cli.service_commands.locations import StackLocations, StackNotRunning
from parley_cli.settings import load
from parley_cli.stack.secret_store import SecretStore
from parley_cli.stack.stack_settings import OperationsSettings
from parley_cli.stack.state_file import RunningProcess, RunningStack, StackLock, write_state_file
from parley_testing.peers import signing_key

COMMANDS = [
    ["log", "tail"],
    ["log", "verify"],
    ["log", "restore"],
    ["log", "reconcile"],
    ["log", "dead-letters", "list"],
    ["rebuild", "history"],
    ["backup", "--to", "new"],
    ["erase-user", "--user", "ada"],
    ["keys", "rewrap", "--to", "k2"],
]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in [name for name in os.environ if name.startswith("PARLEY_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PARLEY_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def stack(data: Path) -> Iterator[SecretStore]:
    """The state of a running `parley up` in its data folder."""
    embedded = {"postgres": "127.0.0.1:5000", "kafka": "127.0.0.1:9000", "session": "127.0.0.1:81"}
    embedded["redis"] = "127.0.0.1:6000"
    processes = [RunningProcess(name, os.getpid(), address) for name, address in embedded.items()]
    write_state_file(data, RunningStack("http://127.0.0.1:8080", processes))
    with StackLock(data):
        yield SecretStore(data)


def stack_locations() -> StackLocations:
    return StackLocations(load(OperationsSettings))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("data")
def test_without_a_stack_each_command_names_the_missing_variable(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 1
    error = capsys.readouterr().err
    assert error.startswith("No stack runs on ")
    assert "set PARLEY_" in error


def test_a_running_stack_has_all_locations(stack: SecretStore) -> None:
    session, history = map(stack.password, ("session-database", "history-database"))
    stack.create_signing_keys()
    locations = stack_locations()
    assert locations.brokers().bootstrap == "127.0.0.1:9000"
    assert locations.log_environment()["PARLEY_KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:9000"
    # `parley log restore` creates topics for a single node.
    assert locations.topic_environment()["PARLEY_SESSION_TOPIC_REPLICATION"] == "1"
    assert locations.redis_environment() == {"PARLEY_REDIS_URL": "redis://127.0.0.1:6000/0"}
    assert locations.session_url() == "http://127.0.0.1:81"
    assert locations.session_database() == (
        f"postgresql://parley_session:{session}@127.0.0.1:5000/parley_session"
    )
    assert locations.history_database() == (
        f"postgresql://parley_history:{history}@127.0.0.1:5000/parley_history"
    )
    assert locations.signing_key().id == "cli-1"


@pytest.mark.usefixtures("stack")
def test_a_missing_secret_is_reported_and_not_generated(data: Path) -> None:
    with pytest.raises(
        StackNotRunning, match=r"secrets has no cli-signing-key: set PARLEY_SIGNING_KEY"
    ):
        stack_locations().signing_key()
    assert not (data / "secrets").exists()


@pytest.mark.usefixtures("stack")
def test_variables_override_the_stack(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data)
    variables = {
        "PARLEY_KAFKA": "kafka.example:9093",
        "PARLEY_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "PARLEY_KAFKA_SASL_MECHANISM": "OAUTHBEARER",
        "PARLEY_KAFKA_SASL_TOKEN_PATH": "token",
        "PARLEY_SESSION_DATABASE_URL": "postgresql://s:pw@db/s",
        "PARLEY_HISTORY_DATABASE_URL": "postgresql://h:pw@db/h",
        "PARLEY_REDIS": "redis://:pw@redis.example:6379/0",
        "PARLEY_SESSION_URL": "http://session:8081",
        "PARLEY_SIGNING_KEY": json.dumps(signing_key("cli", 2).to_jwk()),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    locations = stack_locations()
    assert locations.brokers().security_protocol == "SASL_PLAINTEXT"
    environment = {name: value for name, value in variables.items() if "KAFKA" in name}
    # The path is absolute, because a child process has another working directory.
    environment["PARLEY_KAFKA_SASL_TOKEN_PATH"] = str(data / "token")
    environment["PARLEY_KAFKA_BOOTSTRAP_SERVERS"] = environment.pop("PARLEY_KAFKA")
    assert locations.log_environment() == environment
    assert locations.session_database() == variables["PARLEY_SESSION_DATABASE_URL"]
    assert locations.history_database() == variables["PARLEY_HISTORY_DATABASE_URL"]
    assert locations.redis_environment() == {"PARLEY_REDIS_URL": variables["PARLEY_REDIS"]}
    assert locations.session_url() == variables["PARLEY_SESSION_URL"]
    assert locations.signing_key().id == "cli-2"


def test_external_engines_need_only_the_stored_passwords(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = SecretStore(data).password("session-database")
    monkeypatch.setenv("PARLEY_POSTGRES", "postgresql://admin:root@db:5433/postgres?ssl=require")
    assert stack_locations().session_database() == (
        f"postgresql://parley_session:{password}@db:5433/parley_session?ssl=require"
    )
