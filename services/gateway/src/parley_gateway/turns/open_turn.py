"""What opens a turn is committed by session, and noted as what its person wrote."""

from uuid import UUID

from parley_gateway.auth.authenticator import Caller
from parley_gateway.http.forwarding import Forwarder
from parley_gateway.parts import Parts
from parley_gateway.turns.event_relay import RelayLimits, TurnEventRelay, turn_in


class TurnOpener:
    def __init__(self, parts: Parts, passing: Forwarder, limits: RelayLimits) -> None:
        self._parts, self._passing, self._limits = parts, passing, limits

    async def turn(
        self, session_id: UUID, command: str, body: bytes, asker: Caller, key: dict[str, str]
    ) -> TurnEventRelay:
        """The events of the turn that the command opens, or that its key opened before."""
        session = self._parts.peers.session
        path = f"/sessions/{session_id}/{command}"
        answer = await self._passing.ask(session, "POST", path, asker, body=body, headers=key)
        turn = turn_in(answer.body)
        self._parts.writes.note(asker.principal, turn.session_id, turn.version)
        return TurnEventRelay(turn, asker, self._parts, self._limits)
