"""Learning the end of a turn that another process runs, or ended."""

import asyncio

from parley_core.errors import ParleyError
from parley_core.principal import Principal
from parley_inference.live_turn import LiveTurn
from parley_inference.session_client import SessionClient


async def follow(
    session: SessionClient,
    live: LiveTurn,
    principal: Principal,
    *,
    request_id: str,
    every_seconds: float,
) -> None:
    """Ask session for the turn until it has ended; give up when it is gone or nobody reads."""
    while True:
        try:
            turn = await session.turn(live.id, principal, request_id)
        except ParleyError as error:
            if error.status == 404:
                live.abandon()
                return
        else:
            if turn.status != "running":
                live.end(turn)
                return
        await asyncio.sleep(every_seconds)
        if live.abandoned or not live.has_readers:
            live.abandon()
            return
