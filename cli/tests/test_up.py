"""`parley up` as a person runs it: refused with a sentence, or the whole stack on real engines."""

import json
import os
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


def test_a_taken_port_is_told(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("PARLEY_PORT", str(port))
        assert main(["up"]) == 1
    assert capsys.readouterr().err == (
        f"Parley cannot listen on port {port}: another process already uses it. "
        "End it, or set PARLEY_PORT to another port.\n"
    )


def test_a_file_in_the_place_of_the_data_folder_is_told(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data.touch()
    assert main(["up"]) == 1
    assert f"The data folder {data} cannot be used: there is a file" in capsys.readouterr().err


def test_a_lost_master_key_is_told_before_anything_starts(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "postgres").mkdir(parents=True)
    assert main(["up"]) == 1
    assert "master-key is missing" in capsys.readouterr().err
    assert not (data / "logs" / "postgres.log").exists()


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PARLEY_POSTGRES", "postgresql://u:pw@127.0.0.1:{port}/x", "No PostgreSQL answers"),
        ("PARLEY_KAFKA", "127.0.0.1:{port}", "No Kafka answers where PARLEY_KAFKA points"),
        ("PARLEY_REDIS", "redis://:pw@127.0.0.1:{port}", "No Redis answers where PARLEY_REDIS"),
    ],
)
@pytest.mark.usefixtures("data")
def test_a_given_engine_that_does_not_answer_is_told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    sentence: str,
) -> None:
    monkeypatch.setenv(variable, value.format(port=free_port()))
    assert main(["up"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(sentence)
    assert "pw" not in told


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PARLEY_PORT", "none"),
        ("PARLEY_MASTER_KEY", "none"),
        ("PARLEY_JWT_SECRET", "none"),
        ("PARLEY_INTERNAL_SECRET", "none"),
        ("PARLEY_KAFKA", "http://none"),
        ("PARLEY_POSTGRES", "none"),
    ],
)
@pytest.mark.usefixtures("data")
def test_a_wrong_setting_is_named_with_code_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
) -> None:
    monkeypatch.setenv(variable, value)
    assert main(["up"]) == 2
    assert capsys.readouterr().err.startswith(variable)


class WholeStack:
    """`parley up` in a process of its own."""

    def __init__(self, folder: Path, engine_cache: Path) -> None:
        self.data, self._output = folder / "data", folder / "output"
        self.data.mkdir()
        # Kafka's jars are 44 MB.
        (self.data / "cache").symlink_to(engine_cache, target_is_directory=True)
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("PARLEY_", "OPENAI_"))}
        own = {"PARLEY_DATA": str(self.data), "PARLEY_PORT": str(free_port())}
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = kept | own | {"PARLEY_DEMO_MODEL_DELAY_MS": "1"}

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "It was not started."
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

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    @property
    def output(self) -> str:
        return self._output.read_text()

    def run(self, *command: str, typed: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command, env=self._environment, input=typed, capture_output=True, text=True, timeout=30
        )

    def parley(self, *arguments: str, typed: str = "") -> "subprocess.CompletedProcess[str]":
        return self.run(sys.executable, "-m", "parley_cli", *arguments, typed=typed)

    def processes(self) -> dict[str, dict[str, Any]]:
        return {each["name"]: each for each in json.loads(self.parley("status", "--json").stdout)}


@pytest.fixture(scope="module")
def one_stack(engine_cache: Path) -> Iterator[WholeStack]:
    # Not below pytest's own folder, which is closed to the user that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="parley-up-") as folder:
        stack = WholeStack(Path(folder), engine_cache)
        yield stack
        if stack.runs:
            stack.end()


@pytest.fixture
def whole(one_stack: WholeStack) -> WholeStack:
    if not one_stack.runs:
        one_stack.start()
    return one_stack


def test_what_it_prints_to_paste_streams_a_reply(whole: WholeStack) -> None:
    paste = whole.output[whole.output.index("TOKEN=") :]
    streamed = whole.run("sh", "-c", paste).stdout
    assert "reply.delta" in streamed
    assert '"type":"reply.completed"' in streamed


def test_status_has_every_process_and_all_are_ready(whole: WholeStack) -> None:
    processes = whole.processes()
    assert list(processes) == NAMES
    assert all(each["ready"] for each in processes.values())


def test_a_second_one_on_the_same_data_is_refused(whole: WholeStack) -> None:
    refused = whole.parley("up")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"`parley up` already runs on {whole.data}, as process {whole.process.pid}: end it, or "
        "set PARLEY_DATA to another folder.\n"
    )


def test_no_secret_is_on_a_command_line(whole: WholeStack) -> None:
    kept = SecretStore(whole.data)
    secrets = [kept.jwt_secret(), kept.master_key(may_make=False), kept.password("internal-secret")]
    for process in whole.processes().values():
        command = Path(f"/proc/{process['pid']}/cmdline").read_text()
        assert not any(secret in command for secret in secrets)


def test_the_commands_about_the_log_find_it(whole: WholeStack) -> None:
    whole.parley("chat", "--user", "grace", typed="What did I say?")
    # The relay has taken it to the log a moment after the answer.
    deadline = time.monotonic() + 10
    texts: list[Any] = []
    while len(texts) < 2 and time.monotonic() < deadline:
        shown = whole.parley("log", "tail", "--user", "grace", "--json", "--content")
        events = map(json.loads, shown.stdout.splitlines())
        texts = [event["data"]["content"]["text"] for event in events if "content" in event["data"]]
    assert texts[0] == "What did I say?"
    assert "Answering as Helper." in texts[1]
    verified = whole.parley("log", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_after_a_kill_9_of_the_whole_the_chat_goes_on_and_it_ends_in_order(
    whole: WholeStack,
) -> None:
    assert whole.parley("chat", "--user", "ada", typed="My name is Ada.").returncode == 0
    before = whole.processes()
    whole.process.kill()
    whole.process.wait()
    assert whole.parley("status").returncode == 1
    whole.start()
    answered = whole.parley("chat", "--user", "ada", typed="What is my name?")
    assert "Your name is **Ada**" in answered.stdout
    assert not any(Path(f"/proc/{each['pid']}").exists() for each in before.values())
    assert whole.end() == 0
    assert "Nothing runs on" in whole.parley("status").stderr
