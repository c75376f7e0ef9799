"""`verify-audit`: recomputes the chain of the audit trail in the store and in the log, and compares
them, also while records are appended.
"""

from collections.abc import Sequence

from parley_core.log import LogEntry
from parley_events.cloudevents import UndecodableRecord
from parley_session.operations.difference_list import DifferenceList
from parley_session.operations.first_appearances import stream_position
from parley_session.operations.log.audit_chain import AuditChain, ChainedRecord, chained_record
from parley_session.operations.log_scan import open_log, scan_log
from parley_session.settings import LogCommandSettings
from parley_session.storage.database import Connection, connect_for_maintenance
from parley_session.storage.event_rows import record_from_row

_ROWS_PER_FETCH = 1_000

_HEAD = """
SELECT chain.*, (SELECT min(sequence) FROM audit_outbox) AS first_queued FROM audit_chain AS chain
"""
_RECORDS = """
SELECT stream_id, sequence, id, type, time, traceparent, data::text, hash FROM audit_records
ORDER BY sequence
"""
_RESTORES = """
SELECT sequence, time FROM audit_records WHERE action = 'store.restored' ORDER BY sequence
"""
_HASHES = "SELECT sequence, hash FROM audit_records WHERE stream_id = $1 AND sequence = ANY ($2)"


async def verify_audit(settings: LogCommandSettings) -> int:
    """Print counts and the first differences; return the exit code, 1 if there are any.

    Memory: one batch of records.
    """
    differences = DifferenceList()
    stored = AuditChain("the store", differences)
    logged = AuditChain("the log", differences)
    connection = await connect_for_maintenance(settings.database)
    try:
        # Before the end of the log is read: records that have left the outbox precede that end.
        head = await _check_store(connection, stored, differences)
        restores = await connection.fetch(_RESTORES)
        async with open_log(settings.kafka.brokers, settings.topic.audit) as reader:
            async for entries in scan_log(reader):
                records = _chained_records(entries, differences)
                for record in records:
                    logged.add(record)
                await _compare(connection, records, head.stream_id, differences)
    finally:
        connection.terminate()
    if logged.last_sequence < head.sequence:
        differences.add(
            f"Record {logged.last_sequence + 1} is in the store, but neither in the outbox nor in "
            "the log."
        )
    print(f"Store: {stored.records:,} records, the last has the hash {stored.last_hash}.")
    print(f"Log: {logged.records:,} records, {logged.repeats:,} repeats.")
    if not differences.count:
        print("The audit trail is complete and unchanged.")
        return 0
    differences.print_under(f"Found {differences.count:,} differences")
    for sequence, time in restores:
        print(
            f"A backup was restored at {time:%Y-%m-%d %H:%M:%S} UTC, which is record {sequence} in "
            "the store: from this number on, the log may have records that the backup lacked."
        )
    return 1


async def _check_store(
    connection: Connection, stored: AuditChain, differences: DifferenceList
) -> ChainedRecord:
    """The last record that has to be in the log, by its sequence."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        head = await connection.fetchrow(_HEAD)
        assert head is not None
        async for row in connection.cursor(_RECORDS, prefetch=_ROWS_PER_FETCH):
            record = record_from_row(row["stream_id"], row)
            try:
                found = chained_record(row["stream_id"], row["sequence"], record)
            except UndecodableRecord as error:
                differences.add(f"Record {row['sequence']} in the store is unreadable: {error}.")
                continue
            stored.add(found)
            if found.hash != row["hash"]:
                differences.add(f"Record {row['sequence']} in the store was changed.")
    if (stored.last_sequence, stored.last_hash) != (head["sequence"], head["hash"]):
        differences.add(
            f"The chain ends with record {head['sequence']}, the records in the store with "
            f"{stored.last_sequence}: some are missing, or were changed."
        )
    queued = head["first_queued"]
    last_published = head["sequence"] if queued is None else queued - 1
    return ChainedRecord(head["stream_id"], last_published, "", head["hash"])


def _chained_records(
    entries: Sequence[LogEntry], differences: DifferenceList
) -> list[ChainedRecord]:
    found = []
    for entry in entries:
        try:
            found.append(chained_record(*stream_position(entry.record), entry.record))
        except UndecodableRecord as error:
            differences.add(
                f"The record at offset {entry.offset} of partition {entry.partition} is no audit "
                f"record: {error}."
            )
    return found


async def _compare(
    connection: Connection,
    records: Sequence[ChainedRecord],
    stream_id: object,
    differences: DifferenceList,
) -> None:
    # Read after the log: a record in the log was committed before it was published.
    rows = await connection.fetch(_HASHES, stream_id, [record.sequence for record in records])
    hashes = {row["sequence"]: row["hash"] for row in rows}
    for record in records:
        if record.stream_id != stream_id:
            differences.add(f"Record {record.sequence} in the log is of another installation.")
        elif record.sequence not in hashes:
            differences.add(f"Record {record.sequence} is in the log, but not in the store.")
        elif record.hash != hashes[record.sequence]:
            differences.add(f"Record {record.sequence} differs between log and store.")
