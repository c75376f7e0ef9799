"""`parley export` over real HTTP: a whole file that is its owner's alone, or none."""

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
import pytest
from cli_peers.gateway import Gateway

from parley_cli.__main__ import main

SECRET = "s" * 32
WHOLE = "format=jsonGrüße 🎈}"

Export = Callable[..., int]
Output = pytest.CaptureFixture[str]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway().serving() as gateway:
        yield gateway


@pytest.fixture
def export(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Export:
    monkeypatch.setenv("PARLEY_JWT_SECRET", SECRET)
    return lambda *options: main(["export", "--url", gateway.url, "--user", "ada", *options])


def test_it_is_written_to_a_new_file_of_its_own_in_that_persons_name(
    gateway: Gateway, export: Export, tmp_path: Path, capsys: Output
) -> None:
    target = tmp_path / "ada.json"
    assert export("--to", str(target), "--tenant", "acme") == 0
    assert target.read_text() == WHOLE
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    [token] = gateway.tokens
    claims = jwt.decode(token.removeprefix("Bearer "), SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["tenant"]) == ("ada", "acme")
    assert capsys.readouterr().err == f"Exported 24 bytes to {target}.\n"
    assert export("--to", str(target)) == 1
    assert "is there already" in capsys.readouterr().err


def test_without_a_file_it_goes_to_the_standard_output(
    export: Export, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert export("--format", "markdown") == 0
    assert capfdbinary.readouterr().out == WHOLE.replace("json", "markdown").encode()


def test_one_that_broke_off_leaves_no_file(
    gateway: Gateway, export: Export, tmp_path: Path, capsys: Output
) -> None:
    gateway.breaks = [2]
    assert export("--to", str(tmp_path / "ada.json")) == 1
    assert capsys.readouterr().err == "The export broke off before its end: run it again.\n"
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("status", "told"),
    [(503, "Refused with 503."), (401, "Is PARLEY_JWT_SECRET that of this gateway?")],
)
def test_a_refusal_is_told_and_leaves_no_file(
    status: int, told: str, gateway: Gateway, export: Export, tmp_path: Path, capsys: Output
) -> None:
    gateway.refusals = [status]
    assert export("--to", str(tmp_path / "ada.json")) == 1
    assert told in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == []


def test_a_folder_that_is_not_there_is_told(export: Export, tmp_path: Path, capsys: Output) -> None:
    target = tmp_path / "no" / "ada.json"
    assert export("--to", str(target)) == 1
    assert capsys.readouterr().err == f"{target} cannot be written: No such file or directory.\n"
