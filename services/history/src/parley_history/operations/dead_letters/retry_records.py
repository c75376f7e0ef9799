"""Dead letters applied again, or gone without, in one transaction with their session's others."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from parley_history.domain.discarded_record import place_of
from parley_history.domain.incoming_record import arrival_of
from parley_history.operations.dead_letters import repository as dead_letters
from parley_history.operations.dead_letters.outcomes import Outcome, outcomes_of
from parley_history.operations.dead_letters.repository import Group, Place, StoredDeadLetter
from parley_history.projection.batch_applier import BatchApplier, LiveRows
from parley_history.storage.projection_tables import Connection, read_known
from parley_history.storage.versions import active_version


class NothingToRetry(Exception):
    """There is no such dead letter, or it is none any more."""


class NotDiscarded(Exception):
    """The session would never be read; the message is a sentence."""


async def retry(connection: "Connection[asyncpg.Record]", group: Group) -> Sequence[Outcome]:
    """Apply the group's letters as if they came now. Raises NothingToRetry."""
    async with active_version(connection):
        letters = await _locked(connection, group)
        return await _apply_again(connection, letters)


async def discard(
    connection: "Connection[asyncpg.Record]", group: Group, only: Place | None, reason: str
) -> Sequence[Outcome]:
    """Go on without the group's letters, or without the one at the place alone.

    The others are retried. Raises NothingToRetry and NotDiscarded.
    """
    async with active_version(connection):
        letters = await _locked(connection, group)
        chosen = [letter for letter in letters if only in (None, letter.place)]
        if not chosen:
            raise NothingToRetry
        if only is not None:
            await _require_no_start(connection, chosen[0])
        await dead_letters.discard(connection, chosen, reason)
        return await _apply_again(connection, letters)


async def _locked(
    connection: "Connection[asyncpg.Record]", group: Group
) -> Sequence[StoredDeadLetter]:
    letters = await dead_letters.lock(connection, group)
    if not letters:
        raise NothingToRetry
    return letters


async def _require_no_start(
    connection: "Connection[asyncpg.Record]", letter: StoredDeadLetter
) -> None:
    """Without its start nothing of a session can be read: that is to give up the session."""
    if (session_id := letter.session_id) is None:
        return
    place = place_of(letter.record, session_id)
    known = await read_known(connection, [session_id])
    if place is not None and place.sequence == 1 and session_id not in known.sessions:
        raise NotDiscarded(
            f"{letter.place} is the start of session {session_id}, without which nothing of it "
            "can be read. Mend what refuses it and retry, or discard the session."
        )


async def _apply_again(
    connection: "Connection[asyncpg.Record]", letters: Sequence[StoredDeadLetter]
) -> Sequence[Outcome]:
    await dead_letters.take_out(connection, letters)
    arrivals = [arrival_of(*letter.place, letter.record) for letter in letters]
    session_ids = {arrival.session_id for arrival in arrivals if arrival.session_id is not None}
    before = await read_known(connection, session_ids)
    # Whatever they wait for, they are kept already: as held events they take no more room.
    most_held = len(letters) + sum(map(len, before.held.values()))
    await BatchApplier(_savepoint, LiveRows(), most_held).project(connection, arrivals, [])
    after = await read_known(connection, session_ids)
    errors = await dead_letters.errors_of(connection, letters)
    return outcomes_of(arrivals, before, after, errors)


@asynccontextmanager
async def _savepoint(connection: "Connection[asyncpg.Record]") -> AsyncIterator[None]:
    async with connection.transaction():
        yield
