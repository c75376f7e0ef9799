"""Reads the file of token issuers: OpenID Connect providers whose access tokens are accepted."""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from parley_core.runtime.settings import InvalidSettings
from parley_core.runtime.text_files import InvalidFile, read_bytes
from parley_core.runtime.yaml_file import read_yaml
from parley_gateway.auth.oidc.claim_mapping import (
    DEFAULT_TENANT,
    ClaimMapping,
    ClaimPath,
    ScopeSource,
    is_valid_name,
)
from parley_gateway.auth.oidc.jwks import ALGORITHMS
from parley_gateway.auth.oidc.jwks_client import KeySource
from parley_gateway.auth.oidc.token_kind import TokenKind
from parley_gateway.auth.oidc.trustworthy_url import is_trustworthy_url

MAX_ISSUERS = 20
MAX_CA_BYTES = 256 * 1024
# Twice what a fetch and its repetitions may take, so that one that fails does no harm.
MIN_KEY_AGE_SECONDS = 600.0
MAX_KEY_AGE_SECONDS = 30 * 86_400.0

_Text = Annotated[str, Meta(min_length=1, max_length=1_024)]
_Texts = Annotated[list[_Text], Meta(min_length=1, max_length=20)]
# No colon: `name:user` must mean one pair of an issuer and its user only.
_Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}\Z")]
_Path = _Text | Annotated[list[_Text], Meta(min_length=1, max_length=10)]
_Scope = Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,200}\Z")]


@dataclass(frozen=True, slots=True)
class PageClient:
    """The chat page as a client of the issuer; `parameters` are those of the authorization request
    that the issuer needs beside the standard ones.
    """

    client_id: str
    scope: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer whose tokens are accepted; `name` begins the ids of its users."""

    name: str
    issuer: str
    audiences: Sequence[str]
    token_kind: TokenKind
    mapping: ClaimMapping
    keys: KeySource
    page: PageClient | None


@dataclass(frozen=True, slots=True)
class IssuersFile:
    """`more_files` are those that the file names."""

    issuers: Sequence[Issuer]
    more_files: Sequence[Path]


def read_issuers(path: Path) -> IssuersFile:
    """Read the YAML file at PARLEY_OIDC_ISSUERS. Raises InvalidSettings."""
    try:
        entries = read_yaml(path, _File).issuers
        certificates = {
            entry.name: path.parent / entry.ca_file for entry in entries if entry.ca_file
        }
        issuers = [_issuer(entry, certificates.get(entry.name)) for entry in entries]
    except InvalidFile as invalid:
        raise InvalidSettings(f"PARLEY_OIDC_ISSUERS is wrong: {invalid}.") from None
    return IssuersFile(issuers, [*certificates.values()])


class _ScopeSource(msgspec.Struct, forbid_unknown_fields=True):
    claim: _Path
    map: Annotated[dict[str, list[_Scope]], Meta(max_length=1_000)] | None = None


class _Page(msgspec.Struct, forbid_unknown_fields=True):
    client_id: _Text
    scope: _Text = "openid"
    parameters: Annotated[dict[_Text, _Text], Meta(max_length=10)] = {}


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    name: _Name
    issuer: _Text
    audiences: _Texts
    discovery_url: _Text | None = None
    jwks_url: _Text | None = None
    ca_file: _Text | None = None
    algorithms: Annotated[list[str], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: ["RS256", "ES256"]
    )
    tokens: Literal["access", "at+jwt", "id"] = "access"
    user_claim: _Path = "sub"
    tenant: _Text | None = None
    tenant_claim: _Path | None = None
    scopes: Annotated[list[_ScopeSource], Meta(max_length=10)] = msgspec.field(
        default_factory=lambda: [_ScopeSource("scope")]
    )
    max_key_age_seconds: float = 86_400
    page: _Page | None = None

    def __post_init__(self) -> None:
        if self.discovery_url and self.jwks_url:
            raise ValueError("set discovery_url or jwks_url, not both")
        if not is_trustworthy_url(self.discovery_url or self.jwks_url or self.issuer):
            raise ValueError("its keys must be fetched from an https URL, or from this machine")
        if unknown := [each for each in self.algorithms if each not in ALGORITHMS]:
            raise ValueError(f"{unknown[0]} is none of the algorithms {', '.join(ALGORITHMS)}")
        if not MIN_KEY_AGE_SECONDS <= self.max_key_age_seconds <= MAX_KEY_AGE_SECONDS:
            raise ValueError(
                f"max_key_age_seconds must be {MIN_KEY_AGE_SECONDS:g} to {MAX_KEY_AGE_SECONDS:.0f}"
            )
        if self.tenant is not None and not is_valid_name(self.tenant):
            raise ValueError("the tenant must be 1 to 255 printable characters")
        if self.page and self.tokens == "access" and self.page.client_id in self.audiences:
            raise ValueError(
                "the page's client_id must not be one of the audiences: it is the audience of ID "
                "tokens, which are not meant for an API"
            )


class _File(msgspec.Struct, forbid_unknown_fields=True):
    issuers: Annotated[list[_Entry], Meta(min_length=1, max_length=MAX_ISSUERS)]

    def __post_init__(self) -> None:
        for field in ("name", "issuer"):
            seen: set[str] = set()
            for index, entry in enumerate(self.issuers):
                value = getattr(entry, field)
                if value in seen:
                    # The form in which msgspec names a place.
                    raise ValueError(f"two issuers have this {field} - at `$.issuers[{index}]`")
                seen.add(value)


def _issuer(entry: _Entry, ca_file: Path | None) -> Issuer:
    mapping = ClaimMapping(
        user_prefix=f"{entry.name}:",
        user=_path(entry.user_claim),
        tenant=_path(entry.tenant_claim) if entry.tenant_claim else None,
        default_tenant=entry.tenant or (None if entry.tenant_claim else DEFAULT_TENANT),
        scopes=[ScopeSource(_path(each.claim), each.map) for each in entry.scopes],
    )
    keys = KeySource(
        entry.issuer,
        jwks_url=entry.jwks_url,
        discovery_url=entry.discovery_url
        or f"{entry.issuer.rstrip('/')}/.well-known/openid-configuration",
        algorithms=frozenset(entry.algorithms),
        ca_certificates=_certificates(ca_file) if ca_file else None,
        max_age_seconds=entry.max_key_age_seconds,
    )
    page = entry.page
    return Issuer(
        entry.name,
        entry.issuer,
        entry.audiences,
        TokenKind(entry.tokens),
        mapping,
        keys,
        PageClient(page.client_id, page.scope, page.parameters) if page else None,
    )


def _path(claim: str | list[str]) -> ClaimPath:
    return (claim,) if isinstance(claim, str) else tuple(claim)


def _certificates(file: Path) -> str:
    """The certificates of a PEM file. Raises InvalidFile."""
    try:
        text = read_bytes(file, MAX_CA_BYTES).decode("ascii")
        # An empty text would stand for the system's certificates.
        ssl.create_default_context(cadata=text or "none")
    except InvalidFile as invalid:
        raise InvalidFile(f"of the ca_file {file}, {invalid}") from None
    except (ssl.SSLError, ValueError):
        raise InvalidFile(f"the ca_file {file} has no certificates in PEM form") from None
    return text
