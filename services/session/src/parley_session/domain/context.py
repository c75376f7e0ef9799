"""The context of a turn: which messages the model is shown, and which of them are news.

The window begins where it began before for as long as its messages fit the budget, so that a model
server can use what it computed for the same beginning. Once they do not fit, it moves on in one
step, to half the budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from parley_session.domain.state import Place, Session

# Three bytes of UTF-8 a token: right for Chinese, a quarter too many for English. A window that is
# a little short costs less than one that a model refuses.
_BYTES_PER_TOKEN = 3
# What sealing adds to a text, and roughly what a model server adds to a message.
_SEALING_BYTES = 40
_TOKENS_PER_MESSAGE = 4


@dataclass(frozen=True, slots=True)
class ContextPlaces:
    """The messages to send, oldest first.

    `base` is the version that they continue, or None where they are the whole window.
    """

    base: int | None
    places: Sequence[tuple[UUID, Place]]


def context_of(
    session: Session, message_id: UUID, *, budget: int, since: int | None
) -> ContextPlaces:
    """The window that ends with the message, in `budget` tokens.

    `since` is the version of the window that the receiver holds, if any: the one of a turn that
    was claimed at that version.
    """
    chain = _chain(session, message_id)
    start = _start(chain, budget)
    held = 0 if since is None or since > session.version else _held_at(session, chain, since)
    if held and _start(chain[:held], budget) == start:
        return ContextPlaces(since, chain[held:])
    return ContextPlaces(None, chain[start:])


def tokens_of(place: Place) -> int:
    """An estimate that needs no key."""
    text_bytes = max(0, place.sealed_bytes - _SEALING_BYTES)
    return -(-text_bytes // _BYTES_PER_TOKEN) + _TOKENS_PER_MESSAGE


def _chain(session: Session, message_id: UUID) -> list[tuple[UUID, Place]]:
    """From the first message to this one, along the parents; without replies that have no text."""
    chain = []
    at: UUID | None = message_id
    while at is not None:
        place = session.messages[at]
        if place.sealed_bytes:
            chain.append((at, place))
        at = place.parent_id
    chain.reverse()
    return chain


def _held_at(session: Session, chain: Sequence[tuple[UUID, Place]], since: int) -> int:
    """How many of the chain's messages a window of that version held; 0 when it was another's."""
    # It ended with the newest message of its time. If that is in this chain, so is what it follows.
    asked = [p.sequence for p in session.messages.values() if p.role == "user"]
    newest = max((sequence for sequence in asked if sequence <= since), default=None)
    sequences = [place.sequence for _, place in chain]
    return sequences.index(newest) + 1 if newest in sequences else 0


def _start(chain: Sequence[tuple[UUID, Place]], budget: int) -> int:
    start = total = 0
    for end, (_, place) in enumerate(chain):
        total += tokens_of(place)
        if total <= budget:
            continue
        # What was asked last stays, however long; a window begins with what a person said.
        last = end if place.role == "user" else end + 1
        while start < last and (total > budget // 2 or chain[start][1].role != "user"):
            total -= tokens_of(chain[start][1])
            start += 1
    return start
