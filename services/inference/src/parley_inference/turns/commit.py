"""Commits the outcome of a turn at session."""

import logging
from functools import partial

from parley_contracts.api_models import Turn
from parley_core.http.errors import ParleyError
from parley_inference.models.outcome import Failed, ReplyOutcome
from parley_inference.session.client import SessionClient
from parley_inference.session.retry_until_accepted import retry_until_accepted
from parley_inference.streaming.live_turn import LiveTurn

log = logging.getLogger(__name__)

# The turn belongs to another runner, or no longer exists: nothing is left to commit.
_NOT_OWNED_STATUSES = frozenset((403, 404, 409, 410))


async def commit(
    session: SessionClient, live: LiveTurn, outcome: ReplyOutcome, *, request_id: str
) -> Turn | None:
    """Return the ended turn, or None when this process no longer owns it.

    Retries without a deadline: the reply exists nowhere else.
    """
    # Heartbeats keep the turn open, so it must end, if only as a failure. The model server charges
    # for a rejected reply, too.
    charged = Failed("internal", usage=outcome.usage, price=outcome.price, model=outcome.model)
    for ending in (outcome, charged, Failed("internal")):
        end = partial(session.end_turn, live.id, ending, request_id)
        try:
            return await retry_until_accepted(end, f"turn {live.id}")
        except ParleyError as error:
            if error.status in _NOT_OWNED_STATUSES:
                return None
            log.error("turn %s: session rejects its outcome: %s", live.id, error.code)
    return None
