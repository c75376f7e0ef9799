"""What the model is shown: the windows of the sessions that this process served last."""

from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

import msgspec

ChatMessage = dict[str, str]
"""`{"role", "content"}`, as a model server takes it."""

# What a message takes in memory beside its text, roughly: the dict and its strings' headers.
_MESSAGE_OVERHEAD_BYTES = 400


class ContextMessage(msgspec.Struct, frozen=True):
    role: str
    content: str


class Context(msgspec.Struct, frozen=True):
    """What session answers to a claim: new messages, after those of the version `base`."""

    base: int | None
    version: int
    messages: list[ContextMessage]


@dataclass(frozen=True, slots=True)
class Window:
    """The messages up to a session's version, oldest first; `size` is bytes of UTF-8."""

    version: int
    messages: tuple[ChatMessage, ...]
    size: int
    used_at: float

    @property
    def cost(self) -> int:
        return self.size + _MESSAGE_OVERHEAD_BYTES * len(self.messages)


@dataclass(frozen=True, slots=True)
class Prompt:
    """All that the model is shown; `size` is bytes of UTF-8."""

    messages: list[ChatMessage]
    size: int


def prompt_of(instructions: str, window: Window) -> Prompt:
    system = [{"role": "system", "content": instructions}] if instructions else []
    return Prompt([*system, *window.messages], window.size + len(instructions.encode()))


class WindowLost(Exception):
    """The context continues a window that is not held any more."""


class Windows:
    """Least recently used first; all of them within `most_bytes`, none idle over `most_seconds`.

    Times are seconds of any clock that only goes forward.
    """

    def __init__(self, most_bytes: int, most_seconds: float) -> None:
        self._most_bytes, self._most_seconds = most_bytes, most_seconds
        self._held: OrderedDict[UUID, Window] = OrderedDict()
        self._cost = 0

    def version(self, session_id: UUID) -> int | None:
        window = self._held.get(session_id)
        return window.version if window else None

    def update(self, session_id: UUID, context: Context, now: float) -> Window:
        """The whole window after `context`. Raises WindowLost."""
        window = _continued(self._held.get(session_id), context, now)
        self._drop(session_id)
        self._held[session_id] = window
        self._cost += window.cost
        while self._cost > self._most_bytes:
            self._drop(next(iter(self._held)))
        return window

    def expire(self, now: float) -> None:
        while self._held:
            oldest, window = next(iter(self._held.items()))
            if now - window.used_at <= self._most_seconds:
                break
            self._drop(oldest)

    def _drop(self, session_id: UUID) -> None:
        window = self._held.pop(session_id, None)
        if window is not None:
            self._cost -= window.cost


def _continued(held: Window | None, context: Context, now: float) -> Window:
    new = tuple({"role": each.role, "content": each.content} for each in context.messages)
    size = sum(len(each.content.encode()) for each in context.messages)
    if context.base is None:
        return Window(context.version, new, size, now)
    if held is None or held.version != context.base:
        raise WindowLost
    return Window(context.version, held.messages + new, held.size + size, now)
