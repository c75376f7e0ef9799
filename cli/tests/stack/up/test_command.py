"""`parley up` as a process: error messages, and a whole stack on real engines."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parley_cli.__main__ import main
from parley_cli.engines import free_port
from parley_cli.stack.secret_store import SecretStore
from parley_core.auth.service_keys import CALLING_SERVICES

NAMES = [
    *("postgres", "kafka", "redis", "demo-model", "session", "inference"),
    *("history-serve", "history-project", "gateway"),
]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in [name for name in os.environ if name.startswith(("PARLEY_", "OPENAI_"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PARLEY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PARLEY_PORT", str(free_port()))
    return tmp_path / "data"


def test_a_port_in_use_is_reported(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setenv("PARLEY_PORT", str(port))
        assert main(["up"]) == 1
    assert capsys.readouterr().err == (
        f"The gateway cannot listen on port {port}: another process uses it. "
        "Stop it, or set PARLEY_PORT to another port.\n"
    )


def test_a_file_at_the_path_of_the_data_folder_is_reported(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data.touch()
    assert main(["up"]) == 1
    assert f"The data folder {data} cannot be used: a file has" in capsys.readouterr().err


def test_a_missing_master_key_is_reported_before_anything_starts(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "postgres").mkdir(parents=True)
    assert main(["up"]) == 1
    assert "master-key is missing" in capsys.readouterr().err
    assert not (data / "logs" / "postgres.log").exists()


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PARLEY_POSTGRES", "postgresql://u:pw@127.0.0.1:{port}/x", "No PostgreSQL server answers"),
        ("PARLEY_KAFKA", "127.0.0.1:{port}", "No Kafka broker answers at PARLEY_KAFKA"),
        ("PARLEY_REDIS", "redis://:pw@127.0.0.1:{port}", "No Redis server answers at PARLEY_REDIS"),
    ],
)
@pytest.mark.usefixtures("data")
def test_an_unreachable_external_engine_is_reported_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    sentence: str,
) -> None:
    monkeypatch.setenv(variable, value.format(port=free_port()))
    assert main(["up"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(sentence)
    assert "pw" not in error


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PARLEY_PORT", "none"),
        ("PARLEY_MASTER_KEY", "none"),
        ("PARLEY_JWT_SECRET", "none"),
        ("PARLEY_KAFKA", "http://none"),
        ("PARLEY_POSTGRES", "none"),
    ],
)
@pytest.mark.usefixtures("data")
def test_an_invalid_setting_is_named_with_exit_code_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
) -> None:
    monkeypatch.setenv(variable, value)
    assert main(["up"]) == 2
    assert capsys.readouterr().err.startswith(variable)


class WholeStack:
    """`parley up` as a child process."""

    def __init__(self, folder: Path) -> None:
        self.data, self._output = folder / "data", folder / "output"
        inherited = {
            n: v for n, v in os.environ.items() if not n.startswith(("PARLEY_", "OPENAI_"))
        }
        own = {"PARLEY_DATA": str(self.data), "PARLEY_PORT": str(free_port())}
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = inherited | own | {"PARLEY_DEMO_MODEL_DELAY_MS": "1"}

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "The stack was not started."
        return self._process

    def start(self) -> None:
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "parley_cli", "up"],
                env=self._environment,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + 90
        while "curl -N" not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    @property
    def output(self) -> str:
        return self._output.read_text()

    def run(self, *command: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command, env=self._environment, input=stdin, capture_output=True, text=True, timeout=90
        )

    def parley(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        return self.run(sys.executable, "-m", "parley_cli", *arguments, stdin=stdin)

    def processes(self) -> dict[str, dict[str, Any]]:
        return {each["name"]: each for each in json.loads(self.parley("status", "--json").stdout)}


@pytest.fixture(scope="module")
def one_stack() -> Iterator[WholeStack]:
    # Not in pytest's own folder, which the user of PostgreSQL cannot traverse.
    with tempfile.TemporaryDirectory(prefix="parley-up-") as folder:
        stack = WholeStack(Path(folder))
        yield stack
        if stack.is_running:
            stack.stop()


@pytest.fixture
def stack(one_stack: WholeStack) -> WholeStack:
    if not one_stack.is_running:
        one_stack.start()
    return one_stack


def test_the_printed_curl_example_streams_a_reply(stack: WholeStack) -> None:
    example = stack.output[stack.output.index("\nTOKEN=") :]
    streamed = stack.run("sh", "-c", example).stdout
    assert "reply.delta" in streamed
    assert '"type":"reply.completed"' in streamed


def test_status_lists_every_process_as_ready(stack: WholeStack) -> None:
    processes = stack.processes()
    assert list(processes) == NAMES
    assert all(each["ready"] for each in processes.values())


def test_a_second_stack_on_the_same_data_folder_is_rejected(stack: WholeStack) -> None:
    rejected = stack.parley("up")
    assert rejected.returncode == 1
    assert rejected.stderr == (
        f"`parley up` already runs on {stack.data} as process {stack.process.pid}: stop it, or "
        "set PARLEY_DATA to another folder.\n"
    )


def test_no_secret_is_on_a_command_line(stack: WholeStack) -> None:
    store = SecretStore(stack.data)
    secrets = [
        store.jwt_secret(),
        store.master_key(may_create=False),
        *(key.to_jwk()["d"] for name in CALLING_SERVICES if (key := store.signing_key(name))),
    ]
    assert len(secrets) == 2 + len(CALLING_SERVICES)
    for process in stack.processes().values():
        command = Path(f"/proc/{process['pid']}/cmdline").read_text()
        assert not any(secret in command for secret in secrets)


def test_log_commands_find_the_log_of_the_stack(stack: WholeStack) -> None:
    stack.parley("chat", "--user", "grace", stdin="What did I say?")
    # The relay publishes the events to the log shortly after the reply.
    deadline = time.monotonic() + 10
    texts: list[Any] = []
    while len(texts) < 2 and time.monotonic() < deadline:
        tail = stack.parley("log", "tail", "--user", "grace", "--json", "--content")
        events = map(json.loads, tail.stdout.splitlines())
        texts = [event["data"]["content"]["text"] for event in events if "content" in event["data"]]
    assert texts[0] == "What did I say?"
    assert "Answering as Helper." in texts[1]
    verified = stack.parley("log", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_after_sigkill_of_the_stack_the_chat_continues_and_the_stack_stops_in_order(
    stack: WholeStack,
) -> None:
    chat = stack.parley("chat", "--user", "ada", stdin="My name is Ada.")
    assert chat.returncode == 0
    [session] = re.findall(r"new session (\S+)\. ", chat.stderr)
    before = stack.processes()
    stack.process.kill()
    stack.process.wait()
    assert stack.parley("status").returncode == 1
    stack.start()
    resume = ("chat", "--user", "ada", "--session", session)
    reply = stack.parley(*resume, stdin="What is my name?")
    assert "Your name is **Ada**" in reply.stdout
    assert not any(Path(f"/proc/{each['pid']}").exists() for each in before.values())
    assert stack.stop() == 0
    assert "No stack runs on" in stack.parley("status").stderr


def test_reconcile_runs_on_the_data_folder_of_a_stopped_stack(one_stack: WholeStack) -> None:
    assert not one_stack.is_running
    reconciled = one_stack.parley("log", "reconcile", "--dry-run")
    assert reconciled.returncode == 0, reconciled.stderr
    assert reconciled.stdout.startswith("Would import 0 events")
