"""Preconditions of `parley restore` into a data folder."""

import os
from pathlib import Path

import pytest

from parley_cli.__main__ import main
from parley_cli.stack.secret_store import SecretStore
from parley_cli.stack.state_file import StackLock


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in [name for name in os.environ if name.startswith("PARLEY_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PARLEY_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_restore_without_the_master_key_creates_nothing(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restore", "--from", "backup"]) == 1
    assert "set PARLEY_MASTER_KEY, or put the key in " in capsys.readouterr().err
    assert not data.exists()


def test_restore_rejects_a_data_folder_on_which_a_stack_runs(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    SecretStore(data).master_key(may_create=True)
    with StackLock(data):
        assert main(["restore", "--from", "backup"]) == 1
    assert "`parley up` already runs on " in capsys.readouterr().err
    assert not (data / "postgres").exists()
