"""Learning the end of a turn that another process runs, or ended."""

from parley_core.auth.principal import Principal
from parley_core.http.errors import ParleyError
from parley_inference.session.client import SessionClient
from parley_inference.streaming.live_turn import LiveTurn


async def follow(
    session: SessionClient,
    live: LiveTurn,
    principal: Principal,
    *,
    request_id: str,
    every_seconds: float,
) -> None:
    """Ask session how it ended once that was told, and whenever nothing new is heard for a while.

    Gives up when the turn is gone, or nobody reads it.
    """
    while True:
        await live.silence(every_seconds)
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
        if live.abandoned or not live.has_readers:
            live.abandon()
            return
