"""Follows a turn that another process runs, until its end is known from session."""

from parley_core.auth.caller import Caller
from parley_core.http.errors import ParleyError
from parley_inference.session.client import SessionClient
from parley_inference.streaming.live_turn import LiveTurn

# Time without new text after which session is asked for the turn. It matters only when the end
# marker in the buffer is missing: normally that arrives sooner.
IDLE_SECONDS = 1


async def follow(session: SessionClient, live: LiveTurn, caller: Caller) -> None:
    """Ask session for the turn at its published end, and whenever its stream is idle.

    Discards the turn when it no longer exists, or has no subscribers.
    """
    while True:
        await live.wait_until_idle(IDLE_SECONDS)
        try:
            turn = await session.get_turn(live.id, caller)
        except ParleyError as error:
            if error.status == 404:
                live.discard()
                return
        else:
            if turn.status != "running":
                live.end(turn)
                return
        if live.discarded or not live.has_subscribers:
            live.discard()
            return
