"""Claiming a turn, and with it the whole window that the model is shown."""

import time
from uuid import UUID

from parley_core.http.errors import Unavailable
from parley_inference.session.client import Claim, SessionClient
from parley_inference.session.context_window_cache import (
    CachedWindow,
    CacheMiss,
    ContextWindowCache,
)
from parley_inference.turns.turn_run import Caller


async def claim_turn(
    session: SessionClient,
    windows: ContextWindowCache,
    turn_id: UUID,
    session_id: UUID,
    asker: Caller,
) -> tuple[Claim, CachedWindow | None]:
    """The window is None where the claim has no run. Raises a ParleyError.

    `session_id` tells whose window may be held; the turn's own is what counts.
    """
    for since in (windows.held(session_id), None):
        claim = await session.claim(turn_id, since, asker.principal, asker.request_id)
        if claim.run is None:
            return claim, None
        try:
            now = time.monotonic()
            return claim, windows.update(claim.turn.session_id, claim.run.context, now)
        except CacheMiss:
            continue  # Dropped since, or another session's: claimed again, it comes whole.
    raise Unavailable(
        "The session service answered something unusable; try again.", code="session_unavailable"
    )
