"""The turns that can be read here: those that are on their way, and those that ended lately."""

from collections import OrderedDict
from collections.abc import Set
from uuid import UUID

from parley_inference.streaming.live_turn import LiveTurn


class LiveTurnRegistry:
    """Ended turns stay for `ended_seconds`, `most_ended` of them.

    Times are seconds of any clock that only goes forward.
    """

    def __init__(self, most_ended: int, ended_seconds: float) -> None:
        self._most_ended, self._ended_seconds = most_ended, ended_seconds
        self._live: dict[UUID, LiveTurn] = {}
        self._ended_at: OrderedDict[UUID, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._live)

    def get(self, turn_id: UUID) -> LiveTurn | None:
        return self._live.get(turn_id)

    def of(self, session_ids: Set[UUID]) -> list[LiveTurn]:
        return [live for live in self._live.values() if live.turn.session_id in session_ids]

    def add(self, live: LiveTurn) -> None:
        self._live[live.id] = live

    def settle(self, live: LiveTurn, now: float) -> None:
        """Nothing more happens to it here: keep its end for late readers, if it is known."""
        if live.ended is None:
            del self._live[live.id]
            return
        self._ended_at[live.id] = now
        self.expire(now)

    def drop(self, session_ids: Set[UUID] | None = None) -> None:
        """Forget the ended turns of these sessions; without them, all that have ended."""
        for turn_id in list(self._ended_at):
            if session_ids is None or self._live[turn_id].turn.session_id in session_ids:
                del self._ended_at[turn_id], self._live[turn_id]

    def expire(self, now: float) -> None:
        while self._ended_at:
            turn_id, ended_at = next(iter(self._ended_at.items()))
            full = len(self._ended_at) > self._most_ended
            if not full and now - ended_at <= self._ended_seconds:
                break
            del self._ended_at[turn_id], self._live[turn_id]
