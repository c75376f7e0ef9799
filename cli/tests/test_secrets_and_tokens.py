"""The secrets that are made once, and the development tokens that are signed with one of them."""

import base64
import stat
from pathlib import Path

import jwt
import pytest

from parley_cli.__main__ import main
from parley_cli.stack.secret_store import SecretLost, SecretStore
from parley_core.crypto.master_keys import MasterKeys

SECRET = "s" * 32


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("PARLEY_JWT_SECRET", "PARLEY_JWT_ISSUER", "PARLEY_JWT_AUDIENCE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PARLEY_DATA", str(tmp_path))
    return tmp_path


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    first = SecretStore(tmp_path)
    made = (first.password("one"), first.jwt_secret(), first.master_key(may_make=True))
    again = SecretStore(tmp_path)
    assert made == (again.password("one"), again.jwt_secret(), again.master_key(may_make=False))
    assert len(set(made)) == 3
    MasterKeys.parse(made[2])
    for file in (tmp_path / "secrets").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_lost_master_key_is_not_made_anew(tmp_path: Path) -> None:
    with pytest.raises(SecretLost, match="master-key is missing, and with it the key of every"):
        SecretStore(tmp_path).master_key(may_make=False)


@pytest.mark.parametrize("damage", ["", "local:", "local:" + base64.b64encode(b"short").decode()])
def test_a_damaged_master_key_is_told_and_not_shown(tmp_path: Path, damage: str) -> None:
    SecretStore(tmp_path).master_key(may_make=True)
    (tmp_path / "secrets" / "master-key").write_text(damage)
    with pytest.raises(SecretLost, match="put the") as told:
        SecretStore(tmp_path).master_key(may_make=True)
    assert not damage or damage not in str(told.value)


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe\x00garbage"])
def test_any_damaged_secret_is_a_sentence(
    data: Path, capsys: pytest.CaptureFixture[str], damage: bytes
) -> None:
    SecretStore(data).jwt_secret()
    (data / "secrets" / "jwt-secret").write_bytes(damage)
    with pytest.raises(SecretLost, match=r"jwt-secret is .*: put the"):
        SecretStore(data).jwt_secret()
    assert main(["token", "--user", "ada"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "put the" in output.err


def test_token_prints_a_token_of_the_data_folders_secret_and_nothing_else(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = SecretStore(data).jwt_secret()
    asked = ["token", "--user", "ada", "--tenant", "t", "--scope", "a:b", "--scope", "admin"]
    assert main([*asked, "--hours", "2"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    claims = jwt.decode(output.out.removesuffix("\n"), secret, algorithms=["HS256"])
    assert claims["exp"] - claims["iat"] == 2 * 3600
    del claims["exp"], claims["iat"]
    assert claims == {"sub": "ada", "tenant": "t", "scope": "a:b admin"}


def test_the_secret_issuer_and_audience_of_the_environment_come_first(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    SecretStore(data).jwt_secret()
    monkeypatch.setenv("PARLEY_JWT_SECRET", SECRET)
    monkeypatch.setenv("PARLEY_JWT_ISSUER", "me")
    monkeypatch.setenv("PARLEY_JWT_AUDIENCE", "parley")
    main(["token", "--user", "ada"])
    token = capsys.readouterr().out.strip()
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], issuer="me", audience="parley")
    assert "tenant" not in claims
    assert "scope" not in claims


@pytest.mark.usefixtures("data")
def test_without_a_secret_there_is_a_sentence_and_no_token(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["token", "--user", "ada"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "run `parley up` first" in output.err


@pytest.mark.usefixtures("data")
def test_a_short_secret_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARLEY_JWT_SECRET", "tooshort")
    assert main(["token", "--user", "ada"]) == 2
    told = capsys.readouterr().err
    assert told == "PARLEY_JWT_SECRET is wrong: it should have at least 32 characters.\n"
