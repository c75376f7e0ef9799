"""Kinds of JWTs: access tokens are meant for an API, ID tokens for the client that signed in.

Issuers mark them differently: RFC 9068 by the header `typ: at+jwt`, Keycloak by the claim `typ`
(Bearer, ID, Refresh), Amazon Cognito by the claim `token_use` (access, id). Others do not mark
them; `nonce`, `at_hash` and `c_hash` are then claims of ID tokens (OpenID Connect Core, sections 2
and 3.3.2.11).
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from parley_gateway.auth.invalid_token import InvalidToken

_RFC_9068 = "at+jwt"
# Also `JWT` and none: most issuers say no more. Okta has a type of its own that ends alike.
_UNMARKED = ("", "jwt")
_ID_TOKEN_CLAIMS = ("nonce", "at_hash", "c_hash")


class TokenKind(Enum):
    """The tokens that an issuer's users send. `ID` is for issuers whose access tokens are no
    JWTs, such as Google.
    """

    ACCESS = "access"
    MARKED_ACCESS = "at+jwt"
    ID = "id"

    def check(
        self, header: Mapping[str, Any], claims: Mapping[str, Any], audiences: tuple[str, ...]
    ) -> None:
        """Raises InvalidToken for a verified token of another kind."""
        typ = header.get("typ", "").lower().removeprefix("application/")
        match self:
            case TokenKind.MARKED_ACCESS:
                if typ != _RFC_9068:
                    raise InvalidToken("The `typ` of the token's header must be at+jwt.", "kind")
            case TokenKind.ACCESS:
                _check_access_token(typ, claims)
            case TokenKind.ID:
                _check_id_token(typ, claims, audiences)


def _check_access_token(typ: str, claims: Mapping[str, Any]) -> None:
    marks = (claims.get("typ", "Bearer"), claims.get("token_use", "access"))
    if marks[0] == "ID" or marks[1] == "id":
        raise InvalidToken(_WRONG_KIND, "kind")
    if marks != ("Bearer", "access") or not (typ in _UNMARKED or typ.endswith(_RFC_9068)):
        raise InvalidToken("The token is not an access token.", "kind")
    marked = typ not in _UNMARKED or "typ" in claims or "token_use" in claims
    if not marked and any(name in claims for name in _ID_TOKEN_CLAIMS):
        raise InvalidToken(_WRONG_KIND, "kind")


def _check_id_token(typ: str, claims: Mapping[str, Any], audiences: tuple[str, ...]) -> None:
    marks = (claims.get("typ", "ID"), claims.get("token_use", "id"))
    if marks != ("ID", "id") or typ not in _UNMARKED:
        raise InvalidToken("The token is not an ID token.", "kind")
    # OpenID Connect Core, section 3.1.3.7: the client to which it was issued.
    if claims.get("azp", audiences[0]) not in audiences:
        raise InvalidToken("The token was issued to another client.", "audience")


_WRONG_KIND = "This is an ID token, which is meant for the client. Send the access token."
