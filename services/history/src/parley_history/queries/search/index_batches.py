"""Batching of index work, so that the memory of decrypted messages stays bounded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from parley_core.crypto.sealing import DataKey
from parley_history.queries.search.blind_tokens import key_fingerprint
from parley_history.queries.search.index_repository import (
    IndexedVersion,
    IndexState,
    UnindexedMessage,
)

# Messages decrypted at once.
MAX_MESSAGES, MAX_BYTES = 200, 1024 * 1024


@dataclass(frozen=True, slots=True)
class IndexBacklog:
    """A session whose index is behind its version, with the keys to continue."""

    session: IndexState
    indexed_version: int
    key: DataKey
    search_key: DataKey

    @property
    def max_messages(self) -> int:
        return self.session.version - self.indexed_version


def plan_batches(backlogs: Sequence[IndexBacklog]) -> Iterator[Sequence[IndexBacklog]]:
    """Group the sessions so that a group has at most MAX_MESSAGES, or a single session."""
    batch: list[IndexBacklog] = []
    messages = 0
    for backlog in backlogs:
        messages += backlog.max_messages
        if batch and messages > MAX_MESSAGES:
            yield batch
            batch, messages = [], backlog.max_messages
        batch.append(backlog)
    if batch:
        yield batch


def progress_of(
    messages: Sequence[UnindexedMessage], backlogs: Mapping[UUID, IndexBacklog]
) -> Sequence[IndexedVersion]:
    """Return how far the messages, which are in the order of the sessions, bring the index."""
    size = sum(len(message.content or b"") for message in messages)
    # When the read was cut off by its limits, it is complete only up to its last message.
    last = messages[-1] if len(messages) >= MAX_MESSAGES or size >= MAX_BYTES else None
    progress: list[IndexedVersion] = []
    for session_id, backlog in backlogs.items():
        fingerprint = key_fingerprint(backlog.search_key)
        if last is not None and last.session_id == session_id:
            return [*progress, IndexedVersion(session_id, last.version, fingerprint)]
        progress.append(IndexedVersion(session_id, backlog.session.version, fingerprint))
    return progress
