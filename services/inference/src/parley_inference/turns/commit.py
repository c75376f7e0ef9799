"""Telling session how a reply ended, until it has answered."""

import logging
from functools import partial

from parley_contracts.api_models import Turn
from parley_core.http.errors import ParleyError
from parley_inference.models.outcome import Ending, Failed
from parley_inference.session.client import SessionClient
from parley_inference.session.retry_until_accepted import retry_until_accepted
from parley_inference.streaming.live_turn import LiveTurn

log = logging.getLogger(__name__)

# The turn is another's, or gone: there is nothing left to tell.
_NOT_OURS = frozenset((403, 404, 409, 410))


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
    while True:
        end = partial(session.end, live.id, ending, request_id)
        try:
            return await retry_until_accepted(
                end, f"turn {live.id}", longest_pause=most_pause_seconds
            )
        except ParleyError as error:
            if error.status in _NOT_OURS:
                return None
            log.error("turn %s: session refuses the end: %s", live.id, error.code)
            if ending == Failed("internal"):
                return None
            # What this process named running would stay open for ever.
            ending = Failed("internal")
