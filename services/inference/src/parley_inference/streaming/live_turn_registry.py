"""Registry of the turns that can be read here: running ones, and recently ended ones."""

import sys
from collections.abc import Set
from uuid import UUID

from cachetools import TTLCache

from parley_inference.streaming.live_turn import LiveTurn

# Late and reconnecting subscribers find an ended turn here; afterwards it is fetched from session.
MAX_ENDED_BYTES = 32 * 1024 * 1024
ENDED_TTL_SECONDS = 30
# Rough memory of an ended turn beside its texts.
_TURN_BYTES = 4_096


class LiveTurnRegistry:
    """Turns by id; ended ones stay for `ENDED_TTL_SECONDS`, at most `MAX_ENDED_BYTES` of them."""

    def __init__(self) -> None:
        self._running: dict[UUID, LiveTurn] = {}
        self._ended: TTLCache[UUID, LiveTurn] = TTLCache(
            MAX_ENDED_BYTES, ENDED_TTL_SECONDS, getsizeof=_memory_bytes
        )

    def __len__(self) -> int:
        return len(self._running) + len(self._ended)

    def get(self, turn_id: UUID) -> LiveTurn | None:
        return self._running.get(turn_id) or self._ended.get(turn_id)

    def of_sessions(self, session_ids: Set[UUID]) -> list[LiveTurn]:
        turns = (*self._running.values(), *self._ended.values())
        return [live for live in turns if live.turn.session_id in session_ids]

    def add(self, live: LiveTurn) -> None:
        self._running[live.id] = live

    def mark_ended(self, live: LiveTurn) -> None:
        """Keep the end for late subscribers; a turn whose end is unknown is removed at once."""
        del self._running[live.id]
        if live.ended is not None:
            self._ended[live.id] = live

    def drop_ended(self, session_ids: Set[UUID]) -> None:
        """Drop the ended turns of these sessions."""
        for turn_id, live in list(self._ended.items()):
            if live.turn.session_id in session_ids:
                self._ended.pop(turn_id, None)

    def clear_ended(self) -> None:
        self._ended.clear()

    def expire(self) -> None:
        self._ended.expire()


def _memory_bytes(live: LiveTurn) -> int:
    """The turn with its message and reply.

    Far below the limit: a text has at most 512 KiB as JSON, thus 2 MiB in memory.
    """
    reply = live.turn.reply.content if live.turn.reply else ""
    return _TURN_BYTES + sys.getsizeof(live.turn.message.content) + sys.getsizeof(reply)
