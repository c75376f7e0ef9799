"""Principal tokens that are used again: to sign and to verify one for each call took 0.4 ms a hop.

What a token allows, and until when, is the same as without: its times are checked at each use.
"""

from collections import OrderedDict
from collections.abc import Collection
from datetime import datetime
from typing import TypeVar

from parley_core.auth.principal import (
    InternalSecret,
    Principal,
    Signed,
    open_principal,
    sign_principal,
)

Key = TypeVar("Key")
Kept = TypeVar("Kept")

# So that a token that is sent has nearly all of its 60 s before it.
REUSED_SECONDS = 10
MOST_KEPT = 1_000


class PrincipalSigner:
    """Of one service that calls another; one for each person, signed anew after REUSED_SECONDS."""

    def __init__(self, secret: InternalSecret, *, issuer: str, audience: str) -> None:
        self._secret, self._issuer, self._audience = secret, issuer, audience
        self._tokens: OrderedDict[Principal, tuple[datetime, str]] = OrderedDict()

    def of(self, principal: Principal, now: datetime) -> str:
        signed_at, token = self._tokens.get(principal, (now, ""))
        if token and 0 <= (now - signed_at).total_seconds() < REUSED_SECONDS:
            return token
        token = sign_principal(
            principal, self._secret, issuer=self._issuer, audience=self._audience, now=now
        )
        _keep(self._tokens, principal, (now, token))
        return token


class PrincipalVerifier:
    """Of the calls to one service by some others; a token is verified once, its times always."""

    def __init__(self, secret: InternalSecret, *, issuers: Collection[str], audience: str) -> None:
        self._secret, self._issuers, self._audience = secret, issuers, audience
        self._signed: OrderedDict[str, Signed] = OrderedDict()

    def principal_of(self, token: str, now: datetime) -> Principal:
        """Who the call is made for; raises InvalidPrincipal."""
        signed = self._signed.get(token)
        if signed is None:
            signed = open_principal(
                token, self._secret, issuers=self._issuers, audience=self._audience
            )
            _keep(self._signed, token, signed)
        signed.check_times(now)
        return signed.principal


def _keep(kept: OrderedDict[Key, Kept], key: Key, value: Kept) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > MOST_KEPT:
        kept.popitem(last=False)
