"""A turn's buffer as it is stored in Redis."""

from typing import Any

from parley_core.streaming.turn_buffer import BufferEntry, TurnBufferReader, buffer_name
from parley_testing.stored_turn import StoredTurn


async def buffer_of(redis: Any, turn: StoredTurn) -> tuple[TurnBufferReader, str]:
    """Return a reader of the turn's buffer, unsealed with the session's key, and its text."""
    reader, entries = TurnBufferReader(turn.id, turn.key), await redis.xrange(buffer_name(turn.id))
    text = reader.apply([BufferEntry(at.decode(), fields[b"s"]) for at, fields in entries])
    return reader, text
