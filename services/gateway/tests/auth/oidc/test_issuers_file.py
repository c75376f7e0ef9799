"""The file of issuers: each mistake is a sentence with its line."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from parley_core.runtime.settings import InvalidSettings
from parley_gateway.auth.oidc.issuers_file import IssuersFile, read_issuers

RIGHT = """issuers:
  - name: staff
    issuer: https://login.example
    audiences: [parley]
"""

Read = Callable[[str], IssuersFile]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(content: str) -> IssuersFile:
        path = tmp_path / "issuers.yaml"
        path.write_text(content)
        return read_issuers(path)

    return read


def test_an_entry_needs_a_name_an_issuer_and_audiences_only(read: Read) -> None:
    (issuer,) = read(RIGHT).issuers
    assert issuer.keys.discovery_url == "https://login.example/.well-known/openid-configuration"
    assert issuer.keys.algorithms == {"RS256", "ES256"}
    assert issuer.mapping.principal({"sub": "ada", "scope": "a b"}).scopes == {"a", "b"}


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ("    jwks_ur: https://login.example/keys\n", 5),
        ("    jwks_url: http://login.example/keys\n", 2),
        ("    jwks_url: ftp://login.example/keys\n", 2),
        ("    jwks_url: https://\n", 2),
        ("    jwks_url: https://a/keys\n    discovery_url: https://a/b\n", 2),
        ("    algorithms: []\n", 5),
        ("    algorithms: [RS256, HS256]\n", 2),
        ("    algorithms: [none]\n", 2),
        ("    tokens: refresh\n", 5),
        ("    tenant: ''\n", 5),
        ('    tenant: "a\\nb"\n', 2),
        ("    tenant_claim: []\n", 5),
        ("    scopes:\n      - claim: groups\n        map: {admins: admin}\n", 7),
        ("    scopes:\n      - {}\n", 6),
        ("    scopes:\n      - claim: groups\n        map: {a: ['two words']}\n", 7),
        ("    max_key_age_seconds: 1\n", 2),
        ("    max_key_age_seconds: 1000000000000000000\n", 2),
        ("    page: {client_id: parley}\n", 2),
        ("    page: {}\n", 5),
        ("    name: other\n", 5),
        ("    tenant: [\n", 6),
        (RIGHT.removeprefix("issuers:\n"), 5),
        (RIGHT.removeprefix("issuers:\n").replace("staff", "other"), 5),
        (RIGHT.removeprefix("issuers:\n").replace("https://login", "https://other"), 5),
        ("  - name: a:b\n", 5),
        ("  - {name: b, audiences: [x]}\n", 5),
    ],
)
def test_a_mistake_is_named_with_its_line(read: Read, more: str, line: int) -> None:
    with pytest.raises(InvalidSettings, match="PARLEY_OIDC_ISSUERS is wrong: ") as refused:
        read(RIGHT + more)
    assert re.findall(r"\(line (\d+)\)", str(refused.value)) == [str(line)]


@pytest.mark.parametrize("content", ["", "issuers: []", "[]", "issuers: {}", "7", "issuers: null"])
def test_a_file_without_issuers_is_refused(read: Read, content: str) -> None:
    with pytest.raises(InvalidSettings, match="PARLEY_OIDC_ISSUERS"):
        read(content)


@pytest.mark.parametrize("certificates", [None, "", "no certificate", "é"])
def test_an_unreadable_or_empty_ca_file_is_refused(
    read: Read, tmp_path: Path, certificates: str | None
) -> None:
    if certificates is not None:
        (tmp_path / "ca.pem").write_text(certificates)
    with pytest.raises(InvalidSettings, match="ca_file"):
        read(RIGHT + "    ca_file: ca.pem\n")


def test_an_empty_user_of_one_issuer_is_no_user(read: Read) -> None:
    (issuer,) = read(RIGHT).issuers
    for sub in ("", 7, None, "a\0"):
        with pytest.raises(Exception, match="sub"):
            issuer.mapping.principal({"sub": sub})
