"""The revocations of tokens and API keys that this process knows."""

import asyncio
from collections.abc import Collection, Iterable
from uuid import UUID

from cachetools import TTLCache

from parley_contracts.session_api.revocation_bodies import RevokedTokens
from parley_core.auth.principal import Principal
from parley_core.http.errors import service_unavailable
from parley_events.api_key import RevocationKind
from parley_gateway.auth.invalid_token import InvalidToken
from parley_gateway.auth.stream_tickets import TICKET_TTL_SECONDS

# Session itself refuses revoked keys: these are for streams and tickets that a key has opened.
_MAX_API_KEYS = 10_000

_Target = tuple[RevocationKind, str, str]
"""The kind, the tenant, and what is revoked in it."""


class RevocationList:
    """`refuses` looks up at most three keys in a dictionary.

    It is complete once all revocations are known: until then nobody is accepted.
    """

    def __init__(self) -> None:
        self._complete = asyncio.Event()
        self._revoked_at: dict[_Target, float] = {}
        self._api_keys: TTLCache[str, bool] = TTLCache(_MAX_API_KEYS, TICKET_TTL_SECONDS)

    async def wait_until_complete(self) -> None:
        await self._complete.wait()

    def refuses(self, principal: Principal) -> bool:
        """Whether the token or API key of the caller is revoked.

        A token without the time of its issue is refused if its user or tenant has a revocation. An
        API key is revoked alone or with its tenant, not with the tokens of its owner.
        """
        tenant, credential, revoked_at = principal.tenant, principal.credential, self._revoked_at
        if principal.api_key is not None:
            if principal.api_key in self._api_keys:
                return True
        elif ("token", tenant, credential.token_id) in revoked_at or _is_before(
            credential.issued_at, revoked_at.get(("user", tenant, principal.user))
        ):
            return True
        return _is_before(credential.issued_at, revoked_at.get(("tenant", tenant, tenant)))

    def check(self, principal: Principal) -> None:
        """Raises InvalidToken, or Unavailable while the revocations are not known."""
        if not self._complete.is_set():
            raise service_unavailable("session")
        if self.refuses(principal):
            raise InvalidToken("The token or API key was revoked.", "revoked")

    def add(self, revoked: Iterable[RevokedTokens], api_keys: Iterable[UUID] = ()) -> bool:
        """Return whether any of them is new."""
        is_new = False
        for each in revoked:
            target, at = _target(each), each.revoked_at.timestamp()
            if self._revoked_at.get(target, 0.0) < at:
                self._revoked_at[target], is_new = at, True
        for key_id in map(str, api_keys):
            is_new = is_new or key_id not in self._api_keys
            self._api_keys[key_id] = True
        return is_new

    def replace(self, revoked: Collection[RevokedTokens]) -> bool:
        """Know these revocations of tokens, and no others. Return whether any of them is new."""
        is_new = self.add(revoked)
        self._revoked_at = {_target(each): self._revoked_at[_target(each)] for each in revoked}
        self._complete.set()
        return is_new


def _target(revoked: RevokedTokens) -> _Target:
    return revoked.kind, revoked.tenant, revoked.target


def _is_before(issued_at: float | None, revoked_at: float | None) -> bool:
    # Times of tokens are whole seconds: one of the same second may be older, and is refused.
    return revoked_at is not None and (issued_at is None or issued_at <= revoked_at)
