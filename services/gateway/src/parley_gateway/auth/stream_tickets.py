"""Stream tickets: signed URLs that open the stream of one turn without an Authorization header.

Browsers need them for EventSource, which cannot send headers.
"""

import time
from typing import Any
from uuid import UUID

import jwt

from parley_core.auth.principal import Credential, Principal
from parley_core.auth.service_keys import ServiceKeys, SigningKey
from parley_core.http.errors import Unauthenticated

# Long enough to reload a page during a reply; a leaked URL expires soon after.
TICKET_TTL_SECONDS = 900

_AUDIENCE = "stream-ticket"
# The user claim is not named `sub`, which every other token requires: neither kind can be used as
# the other, although one key signs tickets and principal tokens.
_CLAIMS = ("aud", "turn", "tenant", "user", "exp")
# Of the token or API key that it was signed for: its revocation is that of the ticket.
_OPTIONAL = ("api_key", "token_id", "issued_at")
_CODEC = jwt.PyJWT({"require": list(_CLAIMS), "strict_aud": True})


class InvalidTicket(Unauthenticated):
    code = "invalid_ticket"


class StreamTickets:
    """Signed with the key of the gateway, and verified with its keys: those of all replicas."""

    def __init__(
        self, key: SigningKey, keys: ServiceKeys, ttl_seconds: float = TICKET_TTL_SECONDS
    ) -> None:
        self._key, self._keys, self._ttl_seconds = key, keys, ttl_seconds

    def stream_url(self, turn_id: UUID, principal: Principal, ticket: str | None = None) -> str:
        """A path on this host. A caller's own `ticket` is repeated: tickets do not renew."""
        return f"/v1/turns/{turn_id}/stream?ticket={ticket or self._sign(turn_id, principal)}"

    def verify(self, ticket: str, turn_id: UUID) -> Principal:
        """The principal that the ticket was signed for, without scopes. Raises InvalidTicket."""
        try:
            service, claims = self._keys.decode(_CODEC, ticket, _AUDIENCE)
        except jwt.PyJWTError:
            raise InvalidTicket("The ticket is invalid or expired.") from None
        if service != self._key.service:
            raise InvalidTicket("The ticket is invalid or expired.")
        if claims["turn"] != str(turn_id):
            raise InvalidTicket("The ticket is for another turn.")
        tenant, user = claims["tenant"], claims["user"]
        if not isinstance(tenant, str) or not isinstance(user, str):
            raise InvalidTicket("The ticket is invalid or expired.")
        api_key, token_id, issued_at = (claims.get(name) for name in _OPTIONAL)
        return Principal(tenant, user, api_key=api_key, credential=Credential(token_id, issued_at))

    def _sign(self, turn_id: UUID, principal: Principal) -> str:
        credential = principal.credential
        origin = (principal.api_key, credential.token_id, credential.issued_at)
        claims: dict[str, Any] = {
            "aud": _AUDIENCE,
            "turn": str(turn_id),
            "tenant": principal.tenant,
            "user": principal.user,
            "exp": int(time.time() + self._ttl_seconds),
        }
        claims |= {
            name: value for name, value in zip(_OPTIONAL, origin, strict=True) if value is not None
        }
        return self._key.sign(_CODEC, claims)
