"""The context of a turn: which messages the model is shown, and which of them are news.

The window begins with the last summary of its line, if there is one. It begins where it began
before for as long as its messages fit the budget, so that a model server can use what it computed
for the same beginning. Once they do not fit, it moves on in one step, to half the budget; a summary
is asked for before that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from parley_session.domain.session.state import MessageNode, Session

# Three bytes of UTF-8 a token: right for Chinese, a quarter too many for English. A window that is
# a little short costs less than one that a model refuses.
_BYTES_PER_TOKEN = 3
# What sealing adds to a text, and roughly what a model server adds to a message.
_SEALING_BYTES = 40
_TOKENS_PER_MESSAGE = 4

_Line = Sequence[tuple[UUID, MessageNode]]


@dataclass(frozen=True, slots=True)
class HeldWindow:
    """A window that somebody holds: of what version, for what budget, and its last message."""

    version: int
    budget: int
    message_id: UUID


@dataclass(frozen=True, slots=True)
class CompactPlaces:
    """What to summarise: all of the window up to a message, after those that it left behind."""

    up_to_message_id: UUID
    places: _Line


@dataclass(frozen=True, slots=True)
class ContextPlaces:
    """The messages to send, oldest first, after the summary if there is one to send.

    `base` is the version of the window that they continue, or None where they are the whole one.
    `tokens` is what the whole window has; over the budget, its last message alone is too long.
    """

    base: int | None
    summary: MessageNode | None
    places: _Line
    tokens: int
    compact: CompactPlaces | None


def context_of(
    session: Session, message_id: UUID, *, budget: int, since: HeldWindow | None
) -> ContextPlaces:
    """The window that ends with the message, in `budget` tokens; `since` is what is held of it."""
    line = _line(session, message_id)
    window = _window(session, line, budget, session.version)
    compact = _compact(line, window, budget)
    held = _held(line, since) if since is not None else ()
    if since is not None and held and _begins_as_before(session, window, held, since):
        return ContextPlaces(since.version, None, line[len(held) :], window.tokens, compact)
    shown = line[window.start :]
    return ContextPlaces(None, window.summary, shown, window.tokens, compact)


def estimate(text_bytes: int) -> int:
    """The tokens of a text that nobody counted."""
    return -(-text_bytes // _BYTES_PER_TOKEN)


def tokens_of(place: MessageNode) -> int:
    """Needs no key. What a model thought before its reply was counted, and is not in the text."""
    text_bytes = max(0, place.sealed_bytes - _SEALING_BYTES)
    if place.tokens is None:
        return estimate(text_bytes) + _TOKENS_PER_MESSAGE
    return min(place.tokens, text_bytes) + _TOKENS_PER_MESSAGE


@dataclass(frozen=True, slots=True)
class _Window:
    """Of a line: what follows the summary from `after` on is shown from `start` on."""

    summary: MessageNode | None
    after: int
    start: int
    tokens: int


def _line(session: Session, message_id: UUID) -> _Line:
    """From the first message to this one; without replies that have no text.

    Nor what was brought along as told by another system: the assistant is told its own.
    """
    line = [
        (at, place)
        for at, place in session.line(message_id)
        if place.sealed_bytes and place.role != "system"
    ]
    line.reverse()
    return line


def _held(line: _Line, since: HeldWindow) -> _Line:
    """The line as far as the window held it; empty when that was another's."""
    for place in range(len(line) - 1, -1, -1):  # It is near the end, nearly always.
        if line[place][0] == since.message_id:
            return line[: place + 1]
    return ()


def _window(session: Session, line: _Line, budget: int, version: int) -> _Window:
    """As it was at that version: whoever holds it must be told what has changed since."""
    summary, after = _summary(session, line, budget, version)
    used = tokens_of(summary) if summary else 0
    skipped, tokens = _start(line[after:], budget - used)
    return _Window(summary, after, after + skipped, tokens + used)


def _begins_as_before(session: Session, window: _Window, held: _Line, since: HeldWindow) -> bool:
    """Whether the window that is held begins where this one does."""
    if not session.compactions and window.start == 0 and window.tokens <= since.budget:
        return True  # The whole line fits, and so did the beginning of it.
    before = _window(session, held, since.budget, since.version)
    return (before.summary, before.start) == (window.summary, window.start)


def _summary(
    session: Session, line: _Line, budget: int, version: int
) -> tuple[MessageNode | None, int]:
    """The last one of the line, and the place after it; one that leaves no room is not shown."""
    if not session.compactions:
        return None, 0
    last = tokens_of(line[-1][1])
    for after in range(len(line) - 1, 0, -1):
        summary = session.compactions.get(line[after - 1][0])
        if summary is None or summary.sequence > version:
            continue
        if tokens_of(summary) <= min(budget // 2, budget - last):
            return summary, after
    return None, 0


def _start(line: _Line, budget: int) -> tuple[int, int]:
    """Where the shown part of the line starts, and how many tokens that has."""
    total = sum(tokens_of(place) for _, place in line)
    if total <= budget:
        return 0, total
    start = total = 0
    for end, (_, place) in enumerate(line):
        total += tokens_of(place)
        if total <= budget and (start == 0 or line[start][1].role == "user"):
            continue
        # What was asked last stays, however long; a window begins with what a person said.
        last = end if place.role == "user" else end + 1
        while start < last and (total > budget // 2 or line[start][1].role != "user"):
            total -= tokens_of(line[start][1])
            start += 1
    return start, total


def _compact(line: _Line, window: _Window, budget: int) -> CompactPlaces | None:
    """What was left behind without a summary; else, over three quarters, the older half."""
    if window.start > window.after:
        left = line[window.after : window.start]
        return CompactPlaces(line[window.start - 1][0], _newest_fitting(left, budget // 2))
    if window.tokens * 4 <= budget * 3:
        return None
    kept_from = _kept_from(line, window)
    return CompactPlaces(line[kept_from - 1][0], ()) if kept_from > window.start else None


def _kept_from(line: _Line, window: _Window) -> int:
    """The first message after a summary: what follows it has half of the window at most."""
    kept_from = len(line) - 1
    kept = 0
    for place in range(len(line) - 1, window.start, -1):
        kept += tokens_of(line[place][1])
        if kept * 2 > window.tokens:
            break
        if line[place][1].role == "user":
            kept_from = place
    return kept_from


def _newest_fitting(line: _Line, budget: int) -> _Line:
    """Those that fit together, the newest first considered; a huge one hides no other."""
    fitting = []
    for message_id, place in reversed(line):
        if (tokens := tokens_of(place)) <= budget:
            budget -= tokens
            fitting.append((message_id, place))
    fitting.reverse()
    return fitting
