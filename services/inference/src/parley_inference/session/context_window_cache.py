"""Context window cache: the prompt messages of recently served sessions, extended turn by turn."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from cachetools import TTLCache

from parley_contracts.session_api.turns import CachedWindow, PromptContext, PromptMessage
from parley_core.token_estimate import estimate_tokens
from parley_inference.models.wire.chat_message import ChatMessage

# A conversation that pauses for longer sends its whole context once.
TTL_SECONDS = 300

# Rough memory of a message beside its text: the struct and its id.
_MESSAGE_OVERHEAD_BYTES = 400

_SUMMARY_HEADING = "What was said earlier in this conversation, in summary:"


@dataclass(frozen=True, slots=True)
class ContextWindow:
    """The messages up to a session's version, oldest first; `memory_bytes` is their memory."""

    version: int
    budget: int
    messages: tuple[PromptMessage, ...]
    memory_bytes: int

    @property
    def ref(self) -> CachedWindow | None:
        last = self.messages[-1].id if self.messages else None
        return CachedWindow(self.version, self.budget, last) if last else None

    def split_summary(self) -> tuple[str, Sequence[PromptMessage]]:
        """Return the summary, or an empty text, and the messages after it."""
        if self.messages and self.messages[0].id is None:
            return self.messages[0].content, self.messages[1:]
        return "", self.messages


@dataclass(frozen=True, slots=True)
class Prompt:
    """All messages sent to the model; `tokens` is counted or estimated."""

    messages: list[ChatMessage]
    tokens: int


def build_prompt(instructions: str, window: ContextWindow, window_tokens: int) -> Prompt:
    """`window_tokens` is session's count or estimate of the window."""
    summary, history = window.split_summary()
    # A single system message, in first position: some chat templates reject a second one.
    parts = [instructions, f"{_SUMMARY_HEADING}\n\n{summary}" if summary else ""]
    system = "\n\n".join(text for text in parts if text)
    messages = [{"role": each.role, "content": each.content} for each in history]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    return Prompt(messages, window_tokens + estimate_tokens(len(instructions.encode())))


class CacheMiss(Exception):
    """The context continues a window that is not cached."""


class ContextWindowCache:
    """LRU cache of at most `max_bytes`; a window expires `TTL_SECONDS` after its last turn."""

    def __init__(self, max_bytes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._windows: TTLCache[UUID, ContextWindow] = TTLCache(
            max_bytes, TTL_SECONDS, timer=clock, getsizeof=lambda window: window.memory_bytes
        )

    def __len__(self) -> int:
        return len(self._windows)

    def get_ref(self, session_id: UUID) -> CachedWindow | None:
        window = self._windows.get(session_id)
        return window.ref if window else None

    def update(self, session_id: UUID, context: PromptContext) -> ContextWindow:
        """Extend the cached window by `context` and return it. Raises CacheMiss."""
        window = _extended(self._windows.get(session_id), context)
        self.drop(session_id)
        if window.memory_bytes <= self._windows.maxsize:
            self._windows[session_id] = window
        return window

    def expire(self) -> None:
        self._windows.expire()

    def drop(self, session_id: UUID) -> None:
        self._windows.pop(session_id, None)

    def clear(self) -> None:
        self._windows.clear()


def _extended(cached: ContextWindow | None, context: PromptContext) -> ContextWindow:
    messages = tuple(context.messages)
    # Not of UTF-8: one character of four bytes makes each character of its text take four.
    size = sum(_MESSAGE_OVERHEAD_BYTES + sys.getsizeof(each.content) for each in messages)
    if context.base is not None:
        if cached is None or cached.version != context.base:
            raise CacheMiss
        messages, size = cached.messages + messages, cached.memory_bytes + size
    return ContextWindow(context.version, context.budget, messages, size)
