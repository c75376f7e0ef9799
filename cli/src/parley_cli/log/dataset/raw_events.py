"""Events whose headers were read, and whose values were not: one by one, or as an Arrow table.

A table takes half of the memory of the objects, and all work on it leaves the interpreter lock to
the thread that reads the log.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from parley_events.cloudevents import Record


class RawEvent(NamedTuple):
    """`key` and `id` are UUIDs in lower case; `time` is in UTC: `2026-11-24T12:00:00.123456Z`."""

    partition: int
    offset: int
    key: bytes
    type: bytes
    sequence: int
    id: bytes
    time: bytes
    traceparent: bytes | None
    value: bytes

    @classmethod
    def of(cls, partition: int, offset: int, record: Record) -> "RawEvent":
        """The event of a record that `parley_events` has encoded."""
        headers = dict(record.headers)
        return cls(
            partition,
            offset,
            record.key,
            headers["ce_type"],
            int(headers["ce_sequence"]),
            headers["ce_id"],
            headers["ce_time"],
            headers.get("traceparent"),
            record.value,
        )

    @property
    def position(self) -> tuple[int, int]:
        return self.partition, self.offset

    def record(self) -> Record:
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_id", self.id),
            ("ce_type", self.type),
            ("ce_subject", self.key),
            ("ce_time", self.time),
            ("ce_sequence", b"%d" % self.sequence),
        ]
        if self.traceparent is not None:
            headers.append(("traceparent", self.traceparent))
        return Record(self.key, headers, self.value)


Columns = Sequence[Sequence[Any]]
"""The fields of events, each a sequence, in the order of `RawEvent`."""

_KINDS = {"partition": pa.int32(), "offset": pa.int64(), "sequence": pa.int32()}
RAW_SCHEMA = pa.schema([(name, _KINDS.get(name, pa.binary())) for name in RawEvent._fields])


def columns_of(events: Sequence[RawEvent]) -> Columns:
    return [*zip(*events, strict=True)] if events else [()] * len(RawEvent._fields)


def raw_batch(columns: Columns) -> pa.RecordBatch:
    arrays = [pa.array(c, kind) for c, kind in zip(columns, RAW_SCHEMA.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=RAW_SCHEMA)


def raw_table(events: Sequence[RawEvent]) -> pa.Table:
    """The events in the form of RAW_SCHEMA."""
    return pa.Table.from_batches([raw_batch(columns_of(events))])


def raw_events(rows: pa.Table | pa.RecordBatch) -> list[RawEvent]:
    return [*map(RawEvent._make, zip(*(c.to_pylist() for c in rows.columns), strict=True))]
