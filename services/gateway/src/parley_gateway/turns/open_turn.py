"""Opens a turn: commits the command at session, and relays the turn's events."""

from typing import Literal
from uuid import UUID

from starlette.types import Scope

from parley_core.auth.caller import Caller
from parley_gateway.http.forwarding import Forwarder
from parley_gateway.http.upstreams import Upstreams
from parley_gateway.limits.limit_headers import pass_limit_headers
from parley_gateway.turns.event_relay import TurnEventRelay, TurnEventRelays, parse_turn

Command = Literal["messages", "regenerate"]


class TurnOpener:
    def __init__(
        self,
        forwarder: Forwarder,
        upstreams: Upstreams,
        relays: TurnEventRelays,
    ) -> None:
        self._forwarder, self._upstreams = forwarder, upstreams
        self._relays = relays

    async def open(
        self,
        session_id: UUID,
        command: Command,
        body: bytes,
        caller: Caller,
        headers: dict[str, str],
        scope: Scope,
    ) -> TurnEventRelay:
        """The events of the turn that the command opens, or that its idempotency key opened.

        The response to the request of the `scope` will have the headers of a limit of tokens.
        """
        path = f"/sessions/{session_id}/{command}"
        response = await self._forwarder.call(
            self._upstreams.session, "POST", path, caller, body=body, headers=headers
        )
        pass_limit_headers(response.headers, scope)
        turn = parse_turn(response.body)
        return self._relays.opened(turn, caller)
