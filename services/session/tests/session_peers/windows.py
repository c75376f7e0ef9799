"""The window of a message as a list, to be compared with what somebody holds."""

from uuid import UUID

from parley_session.domain.context_window import ContextPlaces, context_of, tokens_of
from parley_session.domain.session.state import Session

BUDGET = 200

PromptMessage = UUID | int
"""A message, or the event of a summary."""


def context(session: Session, message_id: UUID, budget: int = BUDGET) -> ContextPlaces:
    whole = context_of(session, message_id, budget=budget, since=None)
    assert whole.base is None
    return whole


def shown(places: ContextPlaces) -> list[PromptMessage]:
    summary: list[PromptMessage] = [places.summary.sequence] if places.summary else []
    return summary + [message for message, _ in places.places]


def window(session: Session, message_id: UUID, budget: int = BUDGET) -> list[PromptMessage]:
    return shown(context(session, message_id, budget))


def tokens(session: Session, messages: list[PromptMessage]) -> int:
    places = {place.sequence: place for place in session.compactions.values()}
    return sum(
        tokens_of(places[each] if isinstance(each, int) else session.messages[each])
        for each in messages
    )
