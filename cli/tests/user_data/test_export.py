"""`parley export` over HTTP: a complete file readable only by its owner, or none."""

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
import pytest
from cli_fakes.gateway import FakeGateway

from parley_cli.__main__ import main

SECRET = "s" * 32
COMPLETE = "format=jsonGrüße 🎈}"

Export = Callable[..., int]
Output = pytest.CaptureFixture[str]


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway().serving() as gateway:
        yield gateway


@pytest.fixture
def export(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> Export:
    monkeypatch.setenv("PARLEY_JWT_SECRET", SECRET)
    return lambda *options: main(["export", "--url", gateway.url, "--user", "ada", *options])


def test_export_writes_a_new_private_file_with_a_token_of_the_user(
    gateway: FakeGateway, export: Export, tmp_path: Path, capsys: Output
) -> None:
    target = tmp_path / "ada.json"
    assert export("--to", str(target), "--tenant", "acme") == 0
    assert target.read_text() == COMPLETE
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    [token] = gateway.tokens
    claims = jwt.decode(token.removeprefix("Bearer "), SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["tenant"]) == ("ada", "acme")
    assert capsys.readouterr().err == f"Exported 24 bytes to {target}.\n"
    assert export("--to", str(target)) == 1
    assert "already exists" in capsys.readouterr().err


def test_export_without_a_file_writes_to_standard_output(
    export: Export, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert export("--format", "markdown") == 0
    assert capfdbinary.readouterr().out == COMPLETE.replace("json", "markdown").encode()


def test_an_interrupted_export_leaves_no_file(
    gateway: FakeGateway, export: Export, tmp_path: Path, capsys: Output
) -> None:
    gateway.cuts = [2]
    assert export("--to", str(tmp_path / "ada.json")) == 1
    assert capsys.readouterr().err == (
        "The connection was lost before the export was complete. Run it again.\n"
    )
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (503, "Rejected with 503."),
        (401, "or PARLEY_JWT_SECRET, is valid for this gateway."),
    ],
)
def test_an_error_of_the_gateway_is_printed_and_leaves_no_file(
    status: int, message: str, gateway: FakeGateway, export: Export, tmp_path: Path, capsys: Output
) -> None:
    gateway.rejections = [status]
    assert export("--to", str(tmp_path / "ada.json")) == 1
    assert message in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == []


def test_a_missing_folder_is_reported(export: Export, tmp_path: Path, capsys: Output) -> None:
    target = tmp_path / "no" / "ada.json"
    assert export("--to", str(target)) == 1
    assert capsys.readouterr().err == f"{target} cannot be written: No such file or directory.\n"
