"""Claims a turn at session, and assembles the context window that its prompt is built from."""

from uuid import UUID

from parley_core.auth.caller import Caller
from parley_inference.session.client import SessionClient
from parley_inference.session.context_window_cache import (
    CacheMiss,
    ContextWindow,
    ContextWindowCache,
)
from parley_inference.session.contract import Claim, InvalidResponse


async def claim_turn(
    session: SessionClient,
    windows: ContextWindowCache,
    turn_id: UUID,
    session_id: UUID,
    caller: Caller,
) -> tuple[Claim, ContextWindow | None]:
    """Return the claim, and its window where it has an input. Raises a ParleyError.

    `session_id` only selects the cached window; the session of the claimed turn is authoritative.
    """
    for since in (windows.get_ref(session_id), None):
        claim = await session.claim(turn_id, since, caller)
        if claim.input is None:
            return claim, None
        try:
            return claim, windows.update(claim.turn.session_id, claim.input.context)
        except CacheMiss:
            continue  # Evicted meanwhile, or another session's: claim again with the whole context.
    raise InvalidResponse
