"""What the model is shown: the windows of the sessions that this process served last."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec

from parley_inference.models.outcome import estimate

ChatMessage = dict[str, str]
"""`{"role", "content"}`, as a model server takes it."""

# What a message takes in memory beside its text, roughly: the struct, its id, its strings' headers.
_MESSAGE_OVERHEAD_BYTES = 400

_SUMMARY_FOLLOWS = "What was said earlier in this conversation, in summary:"


class ContextMessage(msgspec.Struct, frozen=True):
    """One without an id is the summary that stands for what was said before."""

    id: UUID | None
    role: str
    content: str


class PromptContext(msgspec.Struct, frozen=True):
    """What session answers to a claim: new messages, after those of the version `base`.

    `tokens` is what the whole window has, and `budget` what it was to fit in.
    """

    base: int | None
    version: int
    budget: int
    tokens: int
    messages: list[ContextMessage]

    @property
    def too_long(self) -> bool:
        return self.tokens > self.budget


class CachedWindowRef(msgspec.Struct, frozen=True):
    """Which window a process holds: of what version, for what budget, and its last message."""

    version: int
    budget: int
    message_id: UUID


@dataclass(frozen=True, slots=True)
class CachedWindow:
    """The messages up to a session's version, oldest first; `size` is bytes of UTF-8."""

    version: int
    budget: int
    messages: tuple[ContextMessage, ...]
    size: int
    used_at: float

    @property
    def cost(self) -> int:
        return self.size + _MESSAGE_OVERHEAD_BYTES * len(self.messages)

    @property
    def held(self) -> CachedWindowRef | None:
        last = self.messages[-1].id if self.messages else None
        return CachedWindowRef(self.version, self.budget, last) if last else None

    def split(self) -> tuple[str, Sequence[ContextMessage]]:
        """The summary, or an empty text, and the messages after it."""
        if self.messages and self.messages[0].id is None:
            return self.messages[0].content, self.messages[1:]
        return "", self.messages


@dataclass(frozen=True, slots=True)
class Prompt:
    """All that the model is shown; `tokens` are counted or estimated."""

    messages: list[ChatMessage]
    tokens: int


def prompt_of(instructions: str, window: CachedWindow, window_tokens: int) -> Prompt:
    """`window_tokens` is what session counted in the window, or estimated."""
    summary, said = window.split()
    # One system message, and first of all: some chat templates refuse a second one.
    told = [instructions, f"{_SUMMARY_FOLLOWS}\n\n{summary}" if summary else ""]
    system = "\n\n".join(text for text in told if text)
    messages = [{"role": each.role, "content": each.content} for each in said]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    return Prompt(messages, window_tokens + estimate(len(instructions.encode())))


class CacheMiss(Exception):
    """The context continues a window that is not held any more."""


class ContextWindowCache:
    """Least recently used first; all of them within `most_bytes`, none idle over `most_seconds`.

    Times are seconds of any clock that only goes forward.
    """

    def __init__(self, most_bytes: int, most_seconds: float) -> None:
        self._most_bytes, self._most_seconds = most_bytes, most_seconds
        self._held: OrderedDict[UUID, CachedWindow] = OrderedDict()
        self._cost = 0

    def __len__(self) -> int:
        return len(self._held)

    def held(self, session_id: UUID) -> CachedWindowRef | None:
        window = self._held.get(session_id)
        return window.held if window else None

    def update(self, session_id: UUID, context: PromptContext, now: float) -> CachedWindow:
        """The whole window after `context`. Raises CacheMiss."""
        window = _continued(self._held.get(session_id), context, now)
        self.drop(session_id)
        self._held[session_id] = window
        self._cost += window.cost
        while self._cost > self._most_bytes:
            self.drop(next(iter(self._held)))
        return window

    def expire(self, now: float) -> None:
        while self._held:
            oldest, window = next(iter(self._held.items()))
            if now - window.used_at <= self._most_seconds:
                break
            self.drop(oldest)

    def drop(self, session_id: UUID) -> None:
        window = self._held.pop(session_id, None)
        if window is not None:
            self._cost -= window.cost

    def clear(self) -> None:
        self._held.clear()
        self._cost = 0


def _continued(held: CachedWindow | None, context: PromptContext, now: float) -> CachedWindow:
    new = tuple(context.messages)
    size = sum(len(each.content.encode()) for each in new)
    if context.base is None:
        return CachedWindow(context.version, context.budget, new, size, now)
    if held is None or held.version != context.base:
        raise CacheMiss
    return CachedWindow(context.version, context.budget, held.messages + new, held.size + size, now)
