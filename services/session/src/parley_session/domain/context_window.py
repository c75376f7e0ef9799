"""Context window of a turn: the messages that the model sees, and which of them are new.

The window starts with the last summary of its branch, if there is one. Its start stays fixed as
long as its messages fit the budget, so that a model server can reuse the prompt cache. Once they
do not fit, the start advances in one step until half the budget is used (ADR 3). A summary is
requested before that happens (ADR 14).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from parley_core.token_estimate import estimate_tokens
from parley_session.domain.session.state import MessageNode, Session

# Size that sealing adds to a text, and roughly what a model server adds to a message.
_SEALING_BYTES = 40
_TOKENS_PER_MESSAGE = 4

_Branch = Sequence[tuple[UUID, MessageNode]]


@dataclass(frozen=True, slots=True)
class CachedWindow:
    """A window that the runner has cached: its version and budget, and its last message."""

    version: int
    budget: int
    message_id: UUID


@dataclass(frozen=True, slots=True)
class Compaction:
    """A summary to request, of all messages up to one.

    `nodes` are messages that left the window unsummarised; the runner has the others cached.
    """

    up_to_message_id: UUID
    nodes: _Branch


@dataclass(frozen=True, slots=True)
class ContextWindow:
    """The messages to send, oldest first, preceded by the summary, if any.

    `base` is the version of the cached window that they continue; None when they are the whole
    window. `tokens` is the size of the whole window; if it exceeds the budget, the last message
    alone is too long.
    """

    base: int | None
    summary: MessageNode | None
    nodes: _Branch
    tokens: int
    compaction: Compaction | None


def context_window(
    session: Session, message_id: UUID, *, budget: int, cached: CachedWindow | None
) -> ContextWindow:
    """The window of at most `budget` tokens that ends with the message."""
    branch = _branch(session, message_id)
    bounds = _bounds(session, branch, budget, session.version)
    compaction = _compaction(branch, bounds, budget)
    known = _cached_part(branch, cached) if cached is not None else ()
    if cached is not None and known and _has_same_start(session, bounds, known, cached):
        news = branch[len(known) :]
        return ContextWindow(cached.version, None, news, bounds.tokens, compaction)
    shown = branch[bounds.start :]
    return ContextWindow(None, bounds.summary, shown, bounds.tokens, compaction)


def tokens_of(node: MessageNode) -> int:
    """The size of a message, counted or estimated from its sealed size; needs no key."""
    text_bytes = max(0, node.sealed_bytes - _SEALING_BYTES)
    if node.tokens is None:
        # A window that is slightly too short costs less than one that the model rejects.
        return estimate_tokens(text_bytes, cautious=True) + _TOKENS_PER_MESSAGE
    # The count of a reply includes reasoning tokens, which are not part of its text.
    return min(node.tokens, text_bytes) + _TOKENS_PER_MESSAGE


@dataclass(frozen=True, slots=True)
class _Bounds:
    """A window in a branch: messages from `start` on; the summary covers those before `after`."""

    summary: MessageNode | None
    after: int
    start: int
    tokens: int


def _branch(session: Session, message_id: UUID) -> _Branch:
    """The branch from its root, without replies that have no text and without system messages.

    System messages come from imports: they instructed another assistant.
    """
    branch = [
        (each_id, node)
        for each_id, node in session.branch_to(message_id)
        if node.sealed_bytes and node.role != "system"
    ]
    branch.reverse()
    return branch


def _cached_part(branch: _Branch, cached: CachedWindow) -> _Branch:
    """The branch up to the end of the cached window; empty if that is of another branch."""
    for index in range(len(branch) - 1, -1, -1):  # Almost always found near the end.
        if branch[index][0] == cached.message_id:
            return branch[: index + 1]
    return ()


def _bounds(session: Session, branch: _Branch, budget: int, version: int) -> _Bounds:
    """The window as of `version`, so that a cached window can be compared with the current one."""
    summary, after = _summary(session, branch, budget, version)
    summary_tokens = tokens_of(summary) if summary else 0
    skipped, tokens = _start(branch[after:], budget - summary_tokens)
    return _Bounds(summary, after, after + skipped, tokens + summary_tokens)


def _has_same_start(
    session: Session, bounds: _Bounds, known: _Branch, cached: CachedWindow
) -> bool:
    """Whether the cached window starts where the current one does."""
    if not session.compactions and bounds.start == 0 and bounds.tokens <= cached.budget:
        return True  # The whole branch fits, so its cached part did as well.
    before = _bounds(session, known, cached.budget, cached.version)
    return (before.summary, before.start) == (bounds.summary, bounds.start)


def _summary(
    session: Session, branch: _Branch, budget: int, version: int
) -> tuple[MessageNode | None, int]:
    """The last summary of the branch that leaves room for messages, and the index after it."""
    if not session.compactions:
        return None, 0
    last = tokens_of(branch[-1][1])
    for after in range(len(branch) - 1, 0, -1):
        summary = session.compactions.get(branch[after - 1][0])
        if summary is None or summary.sequence > version:
            continue
        if tokens_of(summary) <= min(budget // 2, budget - last):
            return summary, after
    return None, 0


def _start(branch: _Branch, budget: int) -> tuple[int, int]:
    """The index of the first message in the window, and the tokens from there on."""
    sizes = [tokens_of(node) for _, node in branch]
    total = sum(sizes)
    if total <= budget:
        return 0, total
    start = total = 0
    for end, (_, node) in enumerate(branch):
        total += sizes[end]
        if total <= budget and (start == 0 or branch[start][1].role == "user"):
            continue
        # The last user message stays, however long; a window starts with a user message.
        last = end if node.role == "user" else end + 1
        while start < last and (total > budget // 2 or branch[start][1].role != "user"):
            total -= sizes[start]
            start += 1
    return start, total


def _compaction(branch: _Branch, bounds: _Bounds, budget: int) -> Compaction | None:
    """Summarises what left the window; over three quarters of the budget, its older half."""
    if bounds.start > bounds.after:
        dropped = branch[bounds.after : bounds.start]
        return Compaction(branch[bounds.start - 1][0], _newest_fitting(dropped, budget // 2))
    if bounds.tokens * 4 <= budget * 3:
        return None
    first = _first_after_summary(branch, bounds)
    return Compaction(branch[first - 1][0], ()) if first > bounds.start else None


def _first_after_summary(branch: _Branch, bounds: _Bounds) -> int:
    """The index after the next summary: what follows has at most half of the window's tokens."""
    first = len(branch) - 1
    tokens = 0
    for index in range(len(branch) - 1, bounds.start, -1):
        tokens += tokens_of(branch[index][1])
        if tokens * 2 > bounds.tokens:
            break
        if branch[index][1].role == "user":
            first = index
    return first


def _newest_fitting(branch: _Branch, budget: int) -> _Branch:
    """The messages that fit together, preferring newer ones; skips those that are too large."""
    fitting = []
    for message_id, node in reversed(branch):
        if (tokens := tokens_of(node)) <= budget:
            budget -= tokens
            fitting.append((message_id, node))
    fitting.reverse()
    return fitting
