"""Licences of what is shipped, and secrets in the repository."""

from pathlib import Path

import pytest

from tools import licences
from tools.licences import UnknownLicence, accepted
from tools.secret_scan import secrets_in

ROOT = Path(__file__).parents[1]
# In parts, so that the scan of the repository does not find them.
PLANTED = {
    "AWS Access Key": "AKIA" + "IOSFODNN7EXAMPL2",
    "GitHub Token": "ghp_" + "a1" * 18,
    "JSON Web Token": "ey" + "JhbGciOiJIUzI1NiJ9.ey" + "JzdWIiOiJhZGEifQ.c2lnbmF0dXJl",
    "OpenAI Token": "sk-" + "a" * 20 + "T3Blbk" + "FJ" + "b" * 20,
    "Private Key": "-----BEGIN RSA " + "PRIVATE KEY-----",
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_secret_is_found_with_its_line(kind: str) -> None:
    found = list(secrets_in(f"first\nvalue = '{PLANTED[kind]}'\n"))
    assert (2, kind) in found


def test_passwords_and_keys_of_tests_are_no_findings() -> None:
    assert list(secrets_in("postgresql://user:password@host\nPARLEY_MASTER_KEY=k1:bW0=\n")) == []


def test_the_list_of_licences_is_that_of_the_installed_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    assert licences.document() == licences.DOCUMENT.read_text()


@pytest.mark.parametrize("licence", ["", "AGPL-3.0-only", "MIT AND GPL-3.0-only", "Proprietary"])
def test_a_licence_that_nobody_accepted_is_refused_with_the_name_of_its_package(
    licence: str,
) -> None:
    with pytest.raises(UnknownLicence, match="left-pad"):
        accepted("left-pad", licence)


def test_an_older_name_of_a_licence_becomes_its_identifier() -> None:
    assert accepted("left-pad", "MIT License and Apache Software License") == "MIT AND Apache-2.0"
