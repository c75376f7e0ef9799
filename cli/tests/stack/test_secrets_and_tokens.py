"""Secret store of a stack, and the development tokens signed with its secret."""

import base64
import stat
from pathlib import Path

import jwt
import pytest

from parley_cli.__main__ import main
from parley_cli.stack.secret_store import SecretLost, SecretStore
from parley_core.auth.service_keys import CALLING_SERVICES, ServiceKeys
from parley_core.crypto.master_keys import MasterKeys

SECRET = "s" * 32


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PARLEY_JWT_SECRET", raising=False)
    monkeypatch.setenv("PARLEY_DATA", str(tmp_path))
    return tmp_path


def test_secrets_are_generated_once_and_readable_only_by_their_owner(tmp_path: Path) -> None:
    first = SecretStore(tmp_path)
    generated = (first.password("one"), first.jwt_secret(), first.master_key(may_create=True))
    again = SecretStore(tmp_path)
    assert generated == (
        again.password("one"),
        again.jwt_secret(),
        again.master_key(may_create=False),
    )
    assert len(set(generated)) == 3
    MasterKeys.parse(generated[2])
    for file in (tmp_path / "secrets").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_each_service_gets_a_signing_key_of_its_own_that_the_public_set_has(
    tmp_path: Path,
) -> None:
    store = SecretStore(tmp_path)
    folder = store.create_signing_keys()
    keys = [store.signing_key(service) for service in CALLING_SERVICES]
    public = ServiceKeys.parse((folder / "service-keys").read_text())
    assert [key and key.service for key in keys] == [*CALLING_SERVICES]
    assert [*public.by_id] == [key and key.id for key in keys]
    stored = {file.name: file.read_text() for file in folder.iterdir()}
    SecretStore(tmp_path).create_signing_keys()
    assert {file.name: file.read_text() for file in folder.iterdir()} == stored
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (folder / "cli-signing-key").write_text("{}")
    with pytest.raises(SecretLost, match="cli-signing-key is damaged: restore the file"):
        store.create_signing_keys()


def test_a_missing_master_key_is_not_generated_again(tmp_path: Path) -> None:
    with pytest.raises(SecretLost, match="master-key is missing"):
        SecretStore(tmp_path).master_key(may_create=False)


@pytest.mark.parametrize("damage", ["", "local:", "local:" + base64.b64encode(b"short").decode()])
def test_a_damaged_master_key_is_reported_without_its_value(tmp_path: Path, damage: str) -> None:
    SecretStore(tmp_path).master_key(may_create=True)
    (tmp_path / "secrets" / "master-key").write_text(damage)
    with pytest.raises(SecretLost, match="restore the file") as raised:
        SecretStore(tmp_path).master_key(may_create=True)
    assert not damage or damage not in str(raised.value)


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe\x00garbage"])
def test_a_damaged_secret_is_reported_with_a_sentence(
    data: Path, capsys: pytest.CaptureFixture[str], damage: bytes
) -> None:
    SecretStore(data).jwt_secret()
    (data / "secrets" / "jwt-secret").write_bytes(damage)
    with pytest.raises(SecretLost, match=r"jwt-secret is .*: restore the file"):
        SecretStore(data).jwt_secret()
    assert main(["token", "--user", "ada"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "restore the file" in output.err


def test_token_prints_only_a_token_signed_with_the_secret_of_the_data_folder(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = SecretStore(data).jwt_secret()
    arguments = ["token", "--user", "ada", "--tenant", "t", "--scope", "a:b", "--scope", "admin"]
    assert main([*arguments, "--hours", "2"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    claims = jwt.decode(output.out.removesuffix("\n"), secret, algorithms=["HS256"])
    assert claims["exp"] - claims["iat"] == 2 * 3600
    del claims["exp"], claims["iat"]
    assert claims == {"sub": "ada", "tenant": "t", "scope": "a:b admin"}


def test_a_variable_overrides_the_secret_of_the_data_folder(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    SecretStore(data).jwt_secret()
    monkeypatch.setenv("PARLEY_JWT_SECRET", SECRET)
    main(["token", "--user", "ada"])
    token = capsys.readouterr().out.strip()
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert "tenant" not in claims
    assert "scope" not in claims


@pytest.mark.usefixtures("data")
def test_without_a_secret_no_token_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["token", "--user", "ada"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "run `parley up` first" in output.err


@pytest.mark.usefixtures("data")
def test_a_short_secret_is_rejected_without_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARLEY_JWT_SECRET", "tooshort")
    assert main(["token", "--user", "ada"]) == 2
    assert capsys.readouterr().err == (
        "PARLEY_JWT_SECRET is wrong: it should have at least 32 bytes.\n"
    )
