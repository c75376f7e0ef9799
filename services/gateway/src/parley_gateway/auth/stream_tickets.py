"""Tickets: whoever has one reads the stream of one turn, as the person whom it was signed for.

They are for an EventSource, which can send no header, and so they stand in an address.
"""

import time
from uuid import UUID

import jwt

from parley_core.auth.principal import InternalSecret, Principal
from parley_core.http.errors import Unauthenticated
from parley_gateway.auth.authenticator import Caller

_ALGORITHM, _AUDIENCE = "HS256", "stream-ticket"
# The user is no `sub`, which every other token needs: none of those can be a ticket, or a ticket
# one of them, whatever secrets they are signed with.
_CLAIMS = ("aud", "turn", "tenant", "user", "exp")
_CODEC = jwt.PyJWT({"require": list(_CLAIMS), "strict_aud": True})


class InvalidTicket(Unauthenticated):
    code = "invalid_ticket"


class StreamTickets:
    """Each is good for `seconds`."""

    def __init__(self, secret: InternalSecret, seconds: float) -> None:
        self._secret, self._seconds = secret, seconds

    def stream_url(self, turn_id: UUID, asker: Caller) -> str:
        """A path on this host. Who came with a ticket gets that one again: none renews itself."""
        ticket = asker.ticket or self._signed(turn_id, asker.principal)
        return f"/v1/turns/{turn_id}/stream?ticket={ticket}"

    def person(self, ticket: str, turn_id: UUID) -> Principal:
        """Whom the turn's ticket was signed for, without their scopes. Raises InvalidTicket."""
        try:
            claims = _CODEC.decode(
                ticket, self._secret.value, algorithms=[_ALGORITHM], audience=_AUDIENCE
            )
        except (jwt.PyJWTError, ValueError):
            raise InvalidTicket("The ticket has expired, or is none.") from None
        if claims["turn"] != str(turn_id):
            raise InvalidTicket("The ticket is for another turn.")
        return Principal(claims["tenant"], claims["user"])

    def _signed(self, turn_id: UUID, person: Principal) -> str:
        claims = {
            "aud": _AUDIENCE,
            "turn": str(turn_id),
            "tenant": person.tenant,
            "user": person.user,
            "exp": int(time.time() + self._seconds),
        }
        return _CODEC.encode(claims, self._secret.value, algorithm=_ALGORITHM)
