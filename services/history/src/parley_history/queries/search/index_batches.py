"""The sessions that are behind in the index: how many are brought on at once, and how far."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from parley_core.crypto.sealing import DataKey
from parley_history.queries.search.blind_tokens import mark_of
from parley_history.queries.search.index_repository import Reached, State, Unindexed

# What is in memory at once, opened.
MESSAGES, BYTES = 200, 1024 * 1024


@dataclass(frozen=True, slots=True)
class IndexBacklog:
    """A session that is indexed up to a version before its own, and its keys."""

    session: State
    indexed: int
    key: DataKey
    search_key: DataKey

    @property
    def most_messages(self) -> int:
        return self.session.version - self.indexed


def together(sessions: Sequence[IndexBacklog]) -> Iterator[Sequence[IndexBacklog]]:
    """As many at once as have MESSAGES at most, or a single one."""
    some: list[IndexBacklog] = []
    messages = 0
    for each in sessions:
        messages += each.most_messages
        if some and messages > MESSAGES:
            yield some
            some, messages = [], each.most_messages
        some.append(each)
    if some:
        yield some


def reached(messages: Sequence[Unindexed], left: Mapping[UUID, IndexBacklog]) -> Sequence[Reached]:
    """How far the sessions are with these messages, which came in the order of the sessions."""
    size = sum(len(message.content or b"") for message in messages)
    # Where it may be that not all came, those up to the last one's session did.
    last = messages[-1] if len(messages) >= MESSAGES or size >= BYTES else None
    places: list[Reached] = []
    for session_id, each in left.items():
        mark = mark_of(each.search_key)
        if last is not None and last.session_id == session_id:
            return [*places, Reached(session_id, last.version, mark)]
        places.append(Reached(session_id, each.session.version, mark))
    return places
