"""Certificate files are checked when the settings are loaded, and errors name the setting."""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest
from core_fakes.certificates import CertificateFiles, ProcessSettings
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from parley_core.runtime.settings import InvalidSettings, load

CERTIFICATE, KEY = "PARLEY_TLS_CERTIFICATE_FILE", "PARLEY_TLS_KEY_FILE"
CLIENT_CA, CA = "PARLEY_TLS_CLIENT_CA_FILE", "PARLEY_TLS_CA_FILE"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PARLEY_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return CertificateFiles(tmp_path)


def loaded(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> ProcessSettings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load(ProcessSettings)


def rejected(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    with pytest.raises(InvalidSettings) as invalid:
        loaded(variables, monkeypatch)
    return str(invalid.value)


def test_without_certificates_there_is_no_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    tls = loaded({}, monkeypatch).tls
    assert (tls.server, tls.client) == (None, True)


def test_no_version_before_1_2_is_spoken(
    files: CertificateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = loaded(files.variables("session"), monkeypatch).tls
    assert tls.server
    assert isinstance(tls.client, ssl.SSLContext)
    assert tls.server.minimum_version == ssl.TLSVersion.TLSv1_2
    assert tls.client.minimum_version == ssl.TLSVersion.TLSv1_2
    assert (tls.client.verify_mode, tls.client.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize(
    ("missing", "named"), [(CERTIFICATE, CERTIFICATE), (KEY, KEY)], ids=["certificate", "key"]
)
def test_a_certificate_needs_its_key(
    files: CertificateFiles, missing: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = files.variables("session")
    del variables[missing]
    assert rejected(variables, monkeypatch).startswith(f"{named} is not set.")


def test_authorities_of_callers_need_a_certificate(
    files: CertificateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = rejected({CLIENT_CA: str(files.authority_file)}, monkeypatch)
    assert error.startswith(f"{CERTIFICATE} is not set.")


@pytest.mark.parametrize("variable", [CERTIFICATE, KEY, CLIENT_CA, CA])
@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff\x00"])
def test_an_unusable_file_is_reported_with_its_setting(
    files: CertificateFiles,
    variable: str,
    content: bytes | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "unusable"
    if content is not None:
        file.write_bytes(content)
    error = rejected({**files.variables("session"), variable: str(file)}, monkeypatch)
    assert error.startswith(f"{variable} is wrong:")


def test_a_key_of_another_certificate_is_rejected(
    files: CertificateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, other_key = files.write("other")
    error = rejected({**files.variables("session"), KEY: str(other_key)}, monkeypatch)
    assert error.startswith(f"{KEY} is wrong: it is not the key")


def test_a_key_with_a_password_is_rejected_and_nobody_is_asked_for_it(
    files: CertificateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = files.variables("session")
    file = Path(variables[KEY])
    key = load_pem_private_key(file.read_bytes(), None)
    encryption = BestAvailableEncryption(b"secret")
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    assert rejected(variables, monkeypatch).startswith(f"{KEY} is wrong: the key has a password")


def test_an_expired_certificate_is_rejected(
    files: CertificateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = rejected(files.variables("session", days=-1), monkeypatch)
    assert error.startswith(f"{CERTIFICATE} is wrong: the certificate has expired on ")
