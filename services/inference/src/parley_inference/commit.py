"""Telling session how a reply ended, until it has answered."""

import asyncio
import logging
import random

from parley_core.errors import ParleyError
from parley_core.shapes import Turn
from parley_inference.ending import Ending, Failed
from parley_inference.live_turn import LiveTurn
from parley_inference.session_client import SessionClient

log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.1
# The turn is another's, or gone: there is nothing left to tell.
_NOT_OURS = frozenset((403, 404, 409, 410))
# These say nothing about the turn.
_PASSING = frozenset((408, 425, 429))


async def commit(
    session: SessionClient,
    live: LiveTurn,
    ending: Ending,
    *,
    request_id: str,
    most_pause_seconds: float,
) -> Turn | None:
    """The turn as it ended; None when session says that it is not this runner's to end.

    Tries for as long as it takes: the reply is nowhere else.
    """
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return await session.end(live.id, ending, request_id)
        except ParleyError as error:
            if error.status in _NOT_OURS:
                return None
            if error.status < 500 and error.status not in _PASSING:
                log.error("turn %s: session refuses the end: %s", live.id, error.code)
                if ending == Failed("internal"):
                    return None
                # What this process named running would stay open for ever.
                ending = Failed("internal")
                continue
            if pause == _FIRST_PAUSE_SECONDS:
                log.warning("turn %s: not committed yet: %s", live.id, error.code)
        await asyncio.sleep(pause * (1 + random.random()) / 2)  # noqa: S311 - it spreads load.
        pause = min(2 * pause, most_pause_seconds)
