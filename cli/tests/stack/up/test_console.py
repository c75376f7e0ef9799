"""Printed output of `parley up`: the progress of a download, and commands to paste."""

import io
import os
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from parley_cli.settings import load
from parley_cli.stack.stack_settings import UpSettings
from parley_cli.stack.up.console import Report, chat_command


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith(("PARLEY_", "OPENAI_"))]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(tmp_path / ".venv" / "bin" / "parley")])


def test_the_chat_command_names_the_data_folder_only_if_it_is_not_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chat_command(load(UpSettings), "T") == ".venv/bin/parley chat"
    folder = tmp_path / "with space"
    monkeypatch.setenv("PARLEY_DATA", "with space")
    words = shlex.split(chat_command(load(UpSettings), "T"))
    assert words == [f"PARLEY_DATA={folder}", ".venv/bin/parley", "chat"]


def test_the_chat_command_has_a_token_where_another_terminal_could_not_sign_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PARLEY_JWT_SECRET", "s" * 32)
    assert shlex.split(chat_command(load(UpSettings), "T"))[0] == "PARLEY_TOKEN=T"


def test_a_download_prints_bytes_and_percent_in_five_lines_without_a_terminal() -> None:
    output = io.StringIO()
    report = Report(Console(file=output))
    for done in range(0, 44_000_001, 100_000):
        report.downloading(done, 44_000_000)
    lines = output.getvalue().splitlines()
    assert len(lines) == 5
    assert [line.rpartition(": ")[2] for line in lines[::2]] == [
        "0.0 of 44.0 MB (0 %)",
        "22.0 of 44.0 MB (50 %)",
        "44.0 of 44.0 MB (100 %)",
    ]


def test_a_download_is_in_the_status_line_of_a_terminal() -> None:
    output = io.StringIO()
    report = Report(Console(file=output, force_terminal=True, width=100))
    report.starting(["kafka"])
    report.downloading(11_000_000, 44_000_000)
    report.clear_status()
    assert "11.0 of 44.0 MB (25 %)" in output.getvalue()
