"""Cancel loop: learns at once of cancelled turns; without it, the next heartbeat names them."""

import asyncio
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from parley_core.http.errors import ParleyError

# A stopped turn is named until it has ended; asking less often would delay the next one.
INTERVAL_SECONDS = 0.05
RETRY_SECONDS = 0.5


class CancelClient(Protocol):
    async def cancelled_turns(self) -> Sequence[UUID]: ...


class Turns(Protocol):
    def stop(self, turn_id: UUID, reason: str) -> None: ...


async def stop_cancelled_turns(session: CancelClient, turns: Turns) -> None:
    """Runs until cancelled."""
    while True:
        try:
            for turn_id in await session.cancelled_turns():
                turns.stop(turn_id, "cancelled")
            await asyncio.sleep(INTERVAL_SECONDS)
        except ParleyError:
            # The heartbeats log that session is unavailable.
            await asyncio.sleep(RETRY_SECONDS)
