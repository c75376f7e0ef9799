"""What a process that was lost left of its reply: the text that its buffer holds, and the cost."""

import logging
from uuid import UUID

from parley_core.crypto.sealing import DataKey
from parley_core.streaming.turn_buffer import TurnBufferReader
from parley_core.streaming.turn_buffer_redis import TurnBuffers
from parley_events.values import Usage
from parley_session.domain.session.commands import FailReply

log = logging.getLogger(__name__)

_ENTRIES_AT_ONCE = 2_000
# As inference estimates what its model server did not count.
_BYTES_PER_TOKEN = 4
_DETAILS = "The process that made the reply was lost; try again."


class PartialReplyRecovery:
    """Without `buffers`, or when they do not answer, nothing was left."""

    def __init__(self, buffers: TurnBuffers | None) -> None:
        self._buffers = buffers

    async def interrupted(self, turn_id: UUID, key: DataKey) -> FailReply:
        """How a turn ends that nobody runs any more."""
        nothing = FailReply(turn_id, "interrupted", details=_DETAILS)
        if self._buffers is None:
            return nothing
        reading = TurnBufferReader(turn_id, key)
        text = await self._buffers.read_all(reading, _ENTRIES_AT_ONCE)
        if reading.corrupt:
            log.warning("turn %s: its buffer has a gap; what is before it counts", turn_id)
        opening = reading.header
        if opening is None or not text:
            return nothing
        return FailReply(
            turn_id,
            "interrupted",
            details=_DETAILS,
            partial_content=text,
            usage=Usage(
                prompt_tokens=opening.prompt_tokens,
                completion_tokens=-(-len(text.encode()) // _BYTES_PER_TOKEN),
                estimated=True,
            ),
            price=opening.price,
            model=opening.model,
        )
