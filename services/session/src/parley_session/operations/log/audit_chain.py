"""Checks that records of the audit trail are a chain, in the order in which they are read."""

from dataclasses import dataclass
from uuid import UUID

from parley_events.audit import FIRST_PREVIOUS, record_hash
from parley_events.cloudevents import Record, UndecodableRecord
from parley_events.event_decoders import decode_audit
from parley_session.operations.difference_list import DifferenceList


@dataclass(frozen=True, slots=True)
class ChainedRecord:
    stream_id: UUID
    sequence: int
    previous: str
    hash: str


def chained_record(stream_id: UUID, sequence: int, record: Record) -> ChainedRecord:
    """Raises UndecodableRecord, also for a type that does not belong in the chain."""
    data = decode_audit(record)
    if data is None:
        raise UndecodableRecord("it is no audit record of this version")
    return ChainedRecord(stream_id, sequence, data.previous, record_hash(record))


class AuditChain:
    """Adds a sentence to the differences for each gap and each change in a store, or in the log.

    The log may repeat records; `last_sequence` and `last_hash` are those of the end of the chain.
    """

    def __init__(self, source: str, differences: DifferenceList) -> None:
        self._source, self._differences = source, differences
        self.records = self.repeats = self.last_sequence = 0
        self.last_hash = FIRST_PREVIOUS

    def add(self, record: ChainedRecord) -> None:
        if record.sequence <= self.last_sequence:
            self.repeats += 1
            return
        self.records += 1
        if record.sequence > self.last_sequence + 1:
            first, last = self.last_sequence + 1, record.sequence - 1
            missing = f"Record {first} is" if first == last else f"Records {first} to {last} are"
            self._differences.add(f"{missing} missing in {self._source}.")
        elif record.previous != self.last_hash:
            self._differences.add(
                f"Record {record.sequence} in {self._source} does not continue record "
                f"{self.last_sequence}: one of them was changed."
            )
        self.last_sequence, self.last_hash = record.sequence, record.hash
