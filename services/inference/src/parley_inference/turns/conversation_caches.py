"""Conversation text cached in memory and Redis, with its expiry and erasure."""

from collections.abc import Set
from uuid import UUID

from parley_inference.background.post_reply_tasks import PostReplyTasks
from parley_inference.session.context_window_cache import ContextWindowCache
from parley_inference.streaming.live_turn_registry import LiveTurnRegistry
from parley_inference.streaming.turn_buffering import TurnBuffering


class ConversationCaches:
    """Context windows, ended turns, turn buffers, and the texts of background tasks."""

    def __init__(
        self,
        windows: ContextWindowCache,
        live_turns: LiveTurnRegistry,
        post_reply_tasks: PostReplyTasks,
        buffering: TurnBuffering | None = None,
    ) -> None:
        self._windows, self._live_turns = windows, live_turns
        self._post_reply_tasks, self._buffering = post_reply_tasks, buffering

    def erase(self, session_ids: Set[UUID]) -> None:
        """Drop everything that belongs to erased sessions."""
        for session_id in session_ids:
            self._windows.drop(session_id)
        if self._buffering is not None:
            erased = self._live_turns.of_sessions(session_ids)
            self._buffering.erase(live.id for live in erased)
        self._live_turns.drop_ended(session_ids)
        self._post_reply_tasks.cancel_for(session_ids)

    def clear(self) -> None:
        """Drop everything that no running turn needs; some of it may belong to erased sessions."""
        self._windows.clear()
        self._live_turns.clear_ended()

    def expire(self) -> None:
        """Drop what is older than its TTL."""
        self._windows.expire()
        self._live_turns.expire()
