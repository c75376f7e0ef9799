"""The window of a message as a list of messages."""

from uuid import UUID

from parley_session.domain.context_window import ContextWindow, context_window, tokens_of
from parley_session.domain.session.state import Session

BUDGET = 200

PromptMessage = UUID | int
"""A message id, or the sequence of a summary."""


def context(session: Session, message_id: UUID, budget: int = BUDGET) -> ContextWindow:
    whole = context_window(session, message_id, budget=budget, cached=None)
    assert whole.base is None
    return whole


def shown(window: ContextWindow) -> list[PromptMessage]:
    summary: list[PromptMessage] = [window.summary.sequence] if window.summary else []
    return summary + [message for message, _ in window.nodes]


def window(session: Session, message_id: UUID, budget: int = BUDGET) -> list[PromptMessage]:
    return shown(context(session, message_id, budget))


def tokens(session: Session, messages: list[PromptMessage]) -> int:
    summaries = {node.sequence: node for node in session.compactions.values()}
    return sum(
        tokens_of(summaries[each] if isinstance(each, int) else session.messages[each])
        for each in messages
    )
