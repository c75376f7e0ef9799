"""Retries or discards dead letters, in one transaction with the others of their session."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from parley_history.domain.discarded_record import discarded_record_of
from parley_history.domain.incoming_record import decode_incoming
from parley_history.operations.dead_letters import repository
from parley_history.operations.dead_letters.outcomes import LetterOutcome, outcomes_of
from parley_history.operations.dead_letters.repository import (
    RecordLocation,
    RetryGroup,
    StoredDeadLetter,
)
from parley_history.projection.batch_applier import BatchApplier, LiveTables
from parley_history.storage.database import Connection
from parley_history.storage.projection_tables import read_batch_state
from parley_history.storage.versions.schema import active_version


class NoSuchDeadLetter(Exception):
    """The dead letter does not exist, or no longer does."""


class CannotDiscard(Exception):
    """Discarding would make the session unreadable; the message is a sentence."""


async def retry(connection: Connection, group: RetryGroup) -> Sequence[LetterOutcome]:
    """Apply the dead letters of the group as new records. Raises NoSuchDeadLetter."""
    async with active_version(connection):
        letters = await _lock(connection, group)
        return await _apply_again(connection, letters)


async def discard(
    connection: Connection, group: RetryGroup, only: RecordLocation | None, reason: str
) -> Sequence[LetterOutcome]:
    """Discard the dead letters of the group, or only one of them, and retry the others.

    Raises NoSuchDeadLetter and CannotDiscard.
    """
    async with active_version(connection):
        letters = await _lock(connection, group)
        chosen = [letter for letter in letters if only in (None, letter.location)]
        if not chosen:
            raise NoSuchDeadLetter
        if only is not None:
            await _require_not_session_start(connection, chosen[0])
        await repository.mark_discarded(connection, chosen, reason)
        return await _apply_again(connection, letters)


async def _lock(connection: Connection, group: RetryGroup) -> Sequence[StoredDeadLetter]:
    letters = await repository.lock_group(connection, group)
    if not letters:
        raise NoSuchDeadLetter
    return letters


async def _require_not_session_start(connection: Connection, letter: StoredDeadLetter) -> None:
    """Require an explicit discard of the whole session, which is unreadable without its start."""
    if (session_id := letter.session_id) is None:
        return
    event = discarded_record_of(letter.record, session_id)
    state = await read_batch_state(connection, [session_id])
    if event is not None and event.sequence == 1 and session_id not in state.sessions:
        raise CannotDiscard(
            f"{letter.location} is the start of session {session_id}, which is unreadable without "
            "it. Fix the cause and retry, or discard the whole session."
        )


async def _apply_again(
    connection: Connection, letters: Sequence[StoredDeadLetter]
) -> Sequence[LetterOutcome]:
    await repository.delete_letters(connection, letters)
    records = [decode_incoming(*letter.location, letter.record) for letter in letters]
    session_ids = {each.session_id for each in records if each.session_id is not None}
    before = await read_batch_state(connection, session_ids)
    # Enough to defer all of them: they are stored already, so deferring takes no more room.
    max_deferred = len(letters) + sum(map(len, before.deferred.values()))
    await BatchApplier(_savepoint, LiveTables(), max_deferred).apply(connection, records, [])
    after = await read_batch_state(connection, session_ids)
    errors = await repository.read_errors(connection, letters)
    return outcomes_of(records, before, after, errors)


@asynccontextmanager
async def _savepoint(connection: Connection) -> AsyncIterator[None]:
    async with connection.transaction():
        yield
