"""`parley trust` prints and runs the commands of the operating system."""

import os
import sys
from pathlib import Path

import pytest

from parley_cli.__main__ import main
from parley_cli.errors import CommandError
from parley_cli.stack.certificates import StackCertificates


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARLEY_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def certificates(data: Path) -> StackCertificates:
    found = StackCertificates(data)
    found.issue(["gateway"], "127.0.0.1")
    return found


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine like Debian's, whose programs record with which arguments they are called."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(folder))
    for name in ("install", "update-ca-certificates"):
        program = folder / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {folder}/called\n')
        program.chmod(0o755)
    return folder


def test_the_authority_is_installed_with_the_commands_that_are_printed(
    certificates: StackCertificates, programs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["trust"]) == 0
    printed = capfd.readouterr()
    assert (programs / "called").read_text() == printed.out
    assert printed.out.startswith(f"install -m 644 {certificates.authority_file} /usr/local/share/")
    assert f"curl --cacert {certificates.authority_file}" in printed.err


@pytest.mark.usefixtures("certificates")
def test_print_runs_nothing(programs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trust", "--print"]) == 0
    assert "update-ca-certificates" in capsys.readouterr().out
    assert not (programs / "called").exists()


@pytest.mark.usefixtures("certificates")
def test_a_command_that_fails_is_reported(
    programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (programs / "install").write_text("#!/bin/sh\nexit 3\n")
    assert main(["trust"]) == 1
    assert "install failed with exit code 3." in capsys.readouterr().err
    assert not (programs / "called").exists()


@pytest.mark.usefixtures("data")
def test_without_an_authority_the_command_to_start_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["trust"]) == 1
    assert "run `parley up --tls` first" in capsys.readouterr().err


def test_keys_are_readable_by_their_owner_only_and_the_authority_is_kept(
    certificates: StackCertificates,
) -> None:
    folder = certificates.authority_file.parent
    keys = [file for file in folder.iterdir() if file.suffix == ".key"]
    assert {file.name for file in keys} == {"authority.key", "gateway.key"}
    assert {file.stat().st_mode & 0o777 for file in keys} == {0o600}
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    certificates.issue(["gateway"], "127.0.0.1")
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert {name for name, content in after.items() if before[name] != content} == {
        "gateway.key",
        "gateway.pem",
    }


def test_a_damaged_authority_is_reported_and_not_replaced(
    certificates: StackCertificates,
) -> None:
    certificates.authority_file.with_suffix(".key").write_text("damaged")
    with pytest.raises(CommandError, match=r"authority.key or .* is damaged"):
        certificates.issue(["gateway"], "127.0.0.1")


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "*", "::", "192.168.1.7"])
def test_a_gateway_may_listen_on_addresses_that_its_certificate_can_have(
    data: Path, host: str
) -> None:
    StackCertificates(data).issue(["gateway"], host)


@pytest.mark.parametrize("host", ["8.8.8.8", "parley.example", "2001:db8::1"])
def test_an_address_that_no_certificate_can_have_is_reported(data: Path, host: str) -> None:
    with pytest.raises(CommandError, match=f"cannot be for {host}: set PARLEY_HOST"):
        StackCertificates(data).issue(["gateway"], host)
