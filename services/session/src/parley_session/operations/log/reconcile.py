"""`reconcile`: the store takes back what only the log has, before writes open."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg

from parley_core.log import LogEntry
from parley_events.cloudevents import UndecodableRecord, decode
from parley_events.session import SessionStarted
from parley_session.operations.difference_list import DifferenceList
from parley_session.operations.log.reconcile_plan import (
    LogOnlyEvents,
    Plan,
    answered_before,
    is_contiguous,
    plan,
)
from parley_session.operations.log.reconcile_store import Placed, ReconcileStore
from parley_session.operations.log_scan import events_in, opened_log, whole_log
from parley_session.settings import LogCommandSettings

_ATTEMPTS = 8
_REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)


async def reconcile(settings: LogCommandSettings, *, dry_run: bool) -> int:
    """Print what was taken back and what could not be; the exit code, 1 where anything was left.

    It may be run again, and while sessions are written to: what is taken is fenced by the
    session's version. Nothing is queued for the log, which has it. What the log lacks, also of an
    outbox that lost its rows, is for `restore-log`.
    """
    connection = await asyncpg.connect(
        settings.session_database,
        timeout=settings.session_store_seconds,
        command_timeout=settings.session_command_seconds,
    )
    try:
        reconciliation = Reconciliation(ReconcileStore(connection))
        # A dry run does it all, in a transaction that is never committed.
        transaction = connection.transaction()
        if dry_run:
            await transaction.start()
        async with opened_log(settings.brokers, settings.relay_topic) as reader:
            stalled = settings.session_log_stalled_seconds
            async for entries in whole_log(reader, stalled_seconds=stalled):
                await reconciliation.take_back(entries)
        if dry_run:
            await transaction.rollback()
    finally:
        connection.terminate()
    return _report(reconciliation, "Would take back" if dry_run else "Took back")


class Reconciliation:
    """Goes through the log once, in its order; it remembers only the sessions that it touched."""

    def __init__(self, store: ReconcileStore) -> None:
        self._store = store
        self.differences = DifferenceList()
        self.events = 0
        self.without_key: set[UUID] = set()
        self.sessions: set[UUID] = set()
        self._left: set[UUID] = set()

    async def take_back(self, entries: Sequence[LogEntry]) -> None:
        by_session: Mapping[UUID, list[Placed]] = defaultdict(list)
        for placed in events_in(entries):
            by_session[placed[0]].append(placed)
        everything = [placed for some in by_session.values() for placed in some]
        news = {everything[place][0] for place, _ in await self._store.unmatched(everything)}
        for session_id in news - self._left:
            await self._take_back_of(session_id, by_session[session_id])

    async def _take_back_of(self, session_id: UUID, logged: Sequence[Placed]) -> None:
        """By what the store has, and again when something was written meanwhile."""
        for _ in range(_ATTEMPTS):
            # The version first: what is up to it can be read by then.
            version = await self._store.version(session_id)
            unmatched = [
                LogOnlyEvents(*logged[place][1:], stored_id)
                for place, stored_id in await self._store.unmatched(logged)
            ]
            if await self._carry_out(session_id, version, plan(version, unmatched)):
                return
        self._leave(session_id, "is being written to: run this again")

    async def _carry_out(self, session_id: UUID, version: int, planned: Plan) -> bool:
        """False when the session had moved."""
        if planned.forks_at is not None:
            self._leave(
                session_id, f"forks: its event {planned.forks_at} is another one in the log"
            )
        elif planned.take and not await self._take(session_id, version, planned):
            return False
        elif planned.gap_before is not None:
            self._leave(
                session_id,
                f"has event {planned.gap_before} in the log, and not all that come before it",
            )
        return True

    async def _take(self, session_id: UUID, version: int, planned: Plan) -> bool:
        try:
            events = [decode(record) for record in planned.take]
        except UndecodableRecord as undecodable:
            self._leave(session_id, f"goes on with a record that cannot be read: {undecodable}")
            return True
        messages = await self._store.messages(session_id, answered_before(events))
        if not is_contiguous(version, events, messages):
            self._leave(session_id, f"has events in the log that cannot follow event {version}")
            return True
        values = [record.value for record in planned.take]
        try:
            if not await self._store.take_back(events, values, version, messages):
                return False
        except _REFUSED as refused:
            # Its class alone: such a sentence may quote a row.
            why = f"goes on with events that the store refuses: {type(refused).__name__}"
            self._leave(session_id, why)
            return True
        if isinstance(events[0].data, SessionStarted):
            self.without_key.add(session_id)
        self.sessions.add(session_id)
        self.events += len(events)
        return True

    def _leave(self, session_id: UUID, why: str) -> None:
        self._left.add(session_id)
        self.differences.add(f"Session {session_id} {why}.")


def _report(reconciliation: Reconciliation, did: str) -> int:
    differences, lost = reconciliation.differences, len(reconciliation.without_key)
    print(
        f"{did} {reconciliation.events:,} events of {len(reconciliation.sessions):,} sessions "
        "that only the log had."
    )
    if lost:
        print(
            f"The keys of {lost:,} of these sessions are lost, since the store did not know them: "
            "they read as erased."
        )
    if not differences.count:
        return 0
    print(f"{differences.count:,} sessions were not taken on as far as the log goes; the first:")
    for sentence in differences.shown:
        print(f"  {sentence}")
    return 1
