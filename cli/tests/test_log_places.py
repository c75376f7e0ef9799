"""Where the commands about the log find it: variables first, then the stack of the data folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from parley_cli.__main__ import main
from parley_cli.service_commands.locations import StackLocations, StackNotRunning
from parley_cli.settings import LogCommandSettings, load
from parley_cli.stack.secret_store import SecretStore
from parley_cli.stack.state_file import RunningProcess, RunningStack, StackLock, write_stack

COMMANDS = [
    ["log", "tail"],
    ["log", "verify"],
    ["log", "restore"],
    ["log", "reconcile"],
    ["log", "dead-letters", "list"],
    ["rebuild", "history"],
    ["backup", "--to", "new"],
    ["erase-user", "--user", "ada"],
]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in [name for name in os.environ if name.startswith("PARLEY_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PARLEY_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def stack(data: Path) -> Iterator[SecretStore]:
    """What a running `parley up` has left in its data folder."""
    embedded = {"postgres": "127.0.0.1:5000", "kafka": "127.0.0.1:9000", "session": "127.0.0.1:81"}
    processes = [RunningProcess(name, os.getpid(), at) for name, at in embedded.items()]
    write_stack(data, RunningStack("http://127.0.0.1:8080", processes))
    with StackLock(data):
        yield SecretStore(data)


def places() -> StackLocations:
    return StackLocations(load(LogCommandSettings))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("data")
def test_without_a_stack_or_a_variable_each_command_says_what_it_needs(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 1
    told = capsys.readouterr().err
    assert told.startswith("Nothing runs on ")
    assert "Or set PARLEY_" in told


def test_a_running_stack_says_where_everything_is(stack: SecretStore) -> None:
    session, history, shared = map(
        stack.password, ("session-database", "history-database", "internal-secret")
    )
    found = places()
    assert found.brokers().bootstrap == "127.0.0.1:9000"
    assert found.log_environment() == {"PARLEY_KAFKA": "127.0.0.1:9000"}
    # A topic that `parley log restore` makes again is one for a single node.
    assert found.topic_environment()["PARLEY_TOPIC_REPLICATION"] == "1"
    assert found.session_url() == "http://127.0.0.1:81"
    assert found.session_database() == (
        f"postgresql://parley_session:{session}@127.0.0.1:5000/parley_session"
    )
    assert found.history_database() == (
        f"postgresql://parley_history:{history}@127.0.0.1:5000/parley_history"
    )
    assert found.internal_secret().value.decode() == shared


@pytest.mark.usefixtures("stack")
def test_a_secret_that_is_not_kept_is_asked_for_and_not_made(data: Path) -> None:
    with pytest.raises(
        StackNotRunning, match=r"no internal-secret in .*: set PARLEY_INTERNAL_SECRET"
    ):
        places().internal_secret()
    assert not (data / "secrets").exists()


@pytest.mark.usefixtures("stack")
def test_variables_come_before_the_stack(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data)
    given = {
        "PARLEY_KAFKA": "kafka.example:9093",
        "PARLEY_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "PARLEY_KAFKA_SASL_MECHANISM": "OAUTHBEARER",
        "PARLEY_KAFKA_SASL_TOKEN_FILE": "token",
        "PARLEY_SESSION_DATABASE": "postgresql://s:pw@db/s",
        "PARLEY_HISTORY_DATABASE": "postgresql://h:pw@db/h",
        "PARLEY_SESSION_URL": "http://session:8081",
        "PARLEY_INTERNAL_SECRET": "i" * 32,
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = places()
    assert found.brokers().security_protocol == "SASL_PLAINTEXT"
    environment = {name: value for name, value in given.items() if "KAFKA" in name}
    # A file is found from whatever folder it is opened in.
    environment["PARLEY_KAFKA_SASL_TOKEN_FILE"] = str(data / "token")
    assert found.log_environment() == environment
    assert found.session_database() == given["PARLEY_SESSION_DATABASE"]
    assert found.history_database() == given["PARLEY_HISTORY_DATABASE"]
    assert found.session_url() == given["PARLEY_SESSION_URL"]
    assert found.internal_secret().value == b"i" * 32


def test_given_engines_need_no_stack_but_the_kept_passwords(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = SecretStore(data).password("session-database")
    monkeypatch.setenv("PARLEY_POSTGRES", "postgresql://admin:root@db:5433/postgres?ssl=require")
    assert places().session_database() == (
        f"postgresql://parley_session:{password}@db:5433/parley_session?ssl=require"
    )
