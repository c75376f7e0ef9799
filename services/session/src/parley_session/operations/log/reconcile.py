"""`reconcile`: imports events that exist only in the log into the store, before it serves."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg

from parley_core.log import LogEntry
from parley_events.cloudevents import UndecodableRecord, decode
from parley_events.session import SessionStarted
from parley_session.operations.difference_list import DifferenceList
from parley_session.operations.log.reconcile_plan import (
    LogOnlyEvent,
    RecoveryPlan,
    earlier_parent_messages,
    is_contiguous,
    plan_recovery,
)
from parley_session.operations.log.reconcile_store import LoggedEvent, ReconcileStore
from parley_session.operations.log_scan import events_in, open_log, scan_log
from parley_session.settings import LogCommandSettings
from parley_session.storage.database import connect_for_maintenance

_MAX_ATTEMPTS = 8
_REJECTED_BY_DATABASE = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)


async def reconcile(settings: LogCommandSettings, *, dry_run: bool) -> int:
    """Print what was imported and what could not be; return the exit code, 1 if any is left.

    Idempotent, and safe while sessions are written to: each append is fenced by the session's
    version. Nothing is queued in the outbox, since the log has it. Events that the log lacks are
    restored by `restore-log`.
    """
    connection = await connect_for_maintenance(settings.database)
    try:
        reconciliation = Reconciliation(ReconcileStore(connection), dry_run=dry_run)
        # A dry run does everything in a transaction that is rolled back.
        transaction = connection.transaction()
        if dry_run:
            await transaction.start()
        async with open_log(settings.kafka.brokers, settings.topic.sessions) as reader:
            async for entries in scan_log(reader):
                await reconciliation.process(entries)
        if dry_run:
            await transaction.rollback()
    finally:
        connection.terminate()
    return _report(reconciliation, "Would import" if dry_run else "Imported")


class Reconciliation:
    """Reads the log once, in its order; its memory grows with the sessions that it changes."""

    def __init__(self, store: ReconcileStore, *, dry_run: bool = False) -> None:
        self._store, self._is_recorded = store, dry_run
        self.differences = DifferenceList()
        self.events = 0
        self.without_key: set[UUID] = set()
        self.sessions: set[UUID] = set()
        self._abandoned: set[UUID] = set()

    async def process(self, entries: Sequence[LogEntry]) -> None:
        by_session: Mapping[UUID, list[LoggedEvent]] = defaultdict(list)
        for logged in events_in(entries):
            by_session[logged[0]].append(logged)
        batch = [logged for events in by_session.values() for logged in events]
        incomplete = {batch[index][0] for index, _ in await self._store.log_only(batch)}
        for session_id in incomplete - self._abandoned:
            await self._recover(session_id, by_session[session_id])

    async def _recover(self, session_id: UUID, logged: Sequence[LoggedEvent]) -> None:
        """Retries when the session is written to at the same time."""
        for _ in range(_MAX_ATTEMPTS):
            # The version first: every event up to it can then be read.
            version = await self._store.version(session_id)
            log_only = [
                LogOnlyEvent(*logged[index][1:], stored_id)
                for index, stored_id in await self._store.log_only(logged)
            ]
            if await self._carry_out(session_id, version, plan_recovery(version, log_only)):
                return
        self._abandon(session_id, "is being written to: run this command again")

    async def _carry_out(self, session_id: UUID, version: int, plan: RecoveryPlan) -> bool:
        """False if the session has changed."""
        if plan.forks_at is not None:
            self._abandon(
                session_id,
                f"has forked: event {plan.forks_at} in the log differs from the one in the store",
            )
        elif plan.records and not await self._append(session_id, version, plan):
            return False
        elif plan.gap_before is not None:
            self._abandon(
                session_id,
                f"has a gap in the log: event {plan.gap_before} is not preceded by all others",
            )
        return True

    async def _append(self, session_id: UUID, version: int, plan: RecoveryPlan) -> bool:
        """False if the session has changed."""
        try:
            events = [decode(record) for record in plan.records]
        except UndecodableRecord as error:
            self._abandon(session_id, f"continues with a record that cannot be decoded: {error}")
            return True
        sequences = await self._store.message_sequences(session_id, earlier_parent_messages(events))
        if not is_contiguous(version, events, sequences):
            self._abandon(session_id, f"has events in the log that cannot follow event {version}")
            return True
        if not self._is_recorded:
            # Before the first of many commits: a reconciliation that is killed is recorded, too.
            await self._store.record_reconciliation()
            self._is_recorded = True
        values = [record.value for record in plan.records]
        try:
            if not await self._store.append(events, values, version, sequences):
                return False
        except _REJECTED_BY_DATABASE as error:
            # The class alone: the message may quote a row.
            self._abandon(
                session_id, f"continues with events that the store rejects: {type(error).__name__}"
            )
            return True
        if isinstance(events[0].data, SessionStarted):
            self.without_key.add(session_id)
        self.sessions.add(session_id)
        self.events += len(events)
        return True

    def _abandon(self, session_id: UUID, reason: str) -> None:
        self._abandoned.add(session_id)
        self.differences.add(f"Session {session_id} {reason}.")


def _report(reconciliation: Reconciliation, verb: str) -> int:
    differences, keyless = reconciliation.differences, len(reconciliation.without_key)
    print(
        f"{verb} {reconciliation.events:,} events of {len(reconciliation.sessions):,} sessions "
        "that existed only in the log."
    )
    if keyless:
        print(
            f"The keys of {keyless:,} of these sessions are lost, because the store did not have "
            "them: these sessions read as erased."
        )
    if not differences.count:
        return 0
    differences.print_under(f"{differences.count:,} sessions could not be imported completely")
    return 1
