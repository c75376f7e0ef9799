"""Maps the claims of a verified token to a principal: user, tenant and scopes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parley_core.auth.principal import SERVICE_TENANT, Principal
from parley_gateway.auth.invalid_token import InvalidToken

DEFAULT_TENANT = "default"
MAX_NAME_LENGTH = 255
MAX_SCOPE_LENGTH = 2_048

ClaimPath = tuple[str, ...]
"""The name of a claim, and the names that lead into its object. Names may contain dots."""

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class ScopeSource:
    """A claim with scopes; `scopes_of` maps groups or roles to scopes, and drops all others."""

    claim: ClaimPath
    scopes_of: Mapping[str, Sequence[str]] | None = None


@dataclass(frozen=True, slots=True)
class ClaimMapping:
    """`user_prefix` keeps the users of two issuers apart. Without `default_tenant`, every token
    must have the claim `tenant`.
    """

    user_prefix: str
    user: ClaimPath
    tenant: ClaimPath | None
    default_tenant: str | None
    scopes: Sequence[ScopeSource]

    def principal(self, claims: Mapping[str, Any]) -> Principal:
        """The principal that verified claims name. Raises InvalidToken."""
        user = _find(claims, self.user)
        if user is _ABSENT:
            raise InvalidToken(f"The token has no {_name(self.user)} claim.", "claims")
        return Principal(
            self._tenant(claims),
            _valid_name(user, self.user, self.user_prefix),
            self._scopes(claims),
        )

    def _tenant(self, claims: Mapping[str, Any]) -> str:
        path = self.tenant or ("tenant",)
        found = _find(claims, path) if self.tenant else _ABSENT
        tenant = self.default_tenant if found is _ABSENT else _valid_name(found, path)
        if tenant is None:
            raise InvalidToken(f"The token has no {_name(path)} claim.", "claims")
        if tenant == SERVICE_TENANT:
            raise InvalidToken(f"The tenant {tenant} is that of the services.", "claims")
        return tenant

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[str]:
        scopes = frozenset(
            scope for source in self.scopes for scope in _scopes_from(source, claims)
        )
        if sum(map(len, scopes)) + len(scopes) > MAX_SCOPE_LENGTH:
            raise InvalidToken(
                f"The scopes of a token are at most {MAX_SCOPE_LENGTH} characters.", "claims"
            )
        return scopes


DEVELOPMENT_MAPPING = ClaimMapping(
    user_prefix="",
    user=("sub",),
    tenant=("tenant",),
    default_tenant=DEFAULT_TENANT,
    scopes=[ScopeSource(("scope",))],
)
"""The claims of tokens that are signed with the development secret."""


def is_valid_name(text: str) -> bool:
    # isprintable() also rejects NUL, which Postgres cannot store, and lone surrogates.
    return 1 <= len(text) <= MAX_NAME_LENGTH and text.isprintable()


def _find(claims: Any, path: ClaimPath) -> Any:
    """The value at the path, or _ABSENT."""
    for name in path:
        if not isinstance(claims, dict) or name not in claims:
            return _ABSENT
        claims = claims[name]
    return claims


def _valid_name(value: Any, path: ClaimPath, prefix: str = "") -> str:
    # The value itself: a prefix must not make a user of an empty one.
    if not isinstance(value, str) or not value or not is_valid_name(prefix + value):
        raise InvalidToken(
            f"The {_name(path)} claim must be 1 to {MAX_NAME_LENGTH - len(prefix)} printable "
            "characters.",
            "claims",
        )
    return prefix + value


def _scopes_from(source: ScopeSource, claims: Mapping[str, Any]) -> Iterator[str]:
    value = _find(claims, source.claim)
    if value is _ABSENT:
        return
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InvalidToken(
            f"The {_name(source.claim)} claim must be a string or a list of them.", "claims"
        )
    for word in words:
        if source.scopes_of is not None:
            yield from source.scopes_of.get(word, ())
        elif word.isascii() and word.isprintable() and " " not in word:
            yield word
        else:
            raise InvalidToken(
                f"The {_name(source.claim)} claim must name scopes in ASCII.", "claims"
            )


def _name(path: ClaimPath) -> str:
    return ".".join(path)
