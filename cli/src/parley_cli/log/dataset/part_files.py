"""Encodes the events of one type and day into a file: Parquet, Arrow IPC or NDJSON."""

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from parley_cli.log.dataset.event_columns import sealed_columns, stream_of
from parley_cli.log.dataset.event_tables import EventTable, Undecodable
from parley_cli.log.dataset.manifest import FileFormat, PartFile
from parley_cli.log.dataset.raw_events import raw_events
from parley_events.cloudevents import SOURCE

ROWS_PER_GROUP = 100_000
_OPENED = b"Content as a JSON object; null: erased, or its key is missing."
# Columns with few different values; trying a dictionary for the others costs time.
_REPEATED = frozenset(
    ("log_partition", "owner", "tenant", "assistant_id", "model", "finish_reason")
)

Opened = Mapping[tuple[int, int], Mapping[str, str | None]]
"""The sealed fields of events in clear text, as JSON, by partition and offset."""


class EncodedPart(NamedTuple):
    content: bytes
    rows: int
    undecodable: Sequence[Undecodable]


def part_path(event_type: str, day: str, number: int, file_format: FileFormat) -> str:
    """Hive's form of a partitioned path, which DuckDB, Spark and Arrow know."""
    name = f"part-{number:06}.{file_format}"
    return f"{stream_of(event_type).channel}/type={event_type}/day={day}/{name}"


def part_file(path: str, event_type: str, day: str, part: EncodedPart) -> PartFile:
    digest = hashlib.sha256(part.content).hexdigest()
    return PartFile(path, event_type, day, part.rows, len(part.content), digest)


def encode_part(rows: EventTable, file_format: FileFormat, opened: Opened | None) -> EncodedPart:
    """The file of the rows, with sealed content unless it was opened."""
    if file_format == "ndjson":
        content = b"".join(_lines(rows, opened))
    else:
        table = rows.table if opened is None else _with_content(rows, opened)
        content = _parquet(table) if file_format == "parquet" else _arrow(table)
    return EncodedPart(content, len(rows.table), rows.undecodable)


def _with_content(rows: EventTable, opened: Opened) -> pa.Table:
    table = rows.table
    positions = zip(*(rows.raw[name].to_pylist() for name in ("partition", "offset")), strict=True)
    contents = [opened.get(position, {}) for position in positions]
    for name in sealed_columns(table.schema):
        values = [content.get(name) for content in contents]
        index = table.schema.get_field_index(name)
        field = pa.field(name, pa.string(), True, {b"comment": _OPENED})
        table = table.set_column(index, field, pa.array(values, pa.string()))
    return table


def _parquet(table: pa.Table) -> bytes:
    output = io.BytesIO()
    pq.write_table(
        table,
        output,
        compression="zstd",
        row_group_size=ROWS_PER_GROUP,
        use_dictionary=[name for name in table.column_names if name in _REPEATED],
        write_statistics=True,
    )
    return output.getvalue()


def _arrow(table: pa.Table) -> bytes:
    output = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(output, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=ROWS_PER_GROUP)
    return output.getvalue()


def _lines(rows: EventTable, opened: Opened | None) -> Iterator[bytes]:
    """CloudEvents in JSON format, as `parley log tail --json` prints them.

    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
    """
    for event in raw_events(rows.raw):
        data: Any = msgspec.Raw(event.value)
        if opened is not None:
            decoded: dict[str, Any] = msgspec.json.decode(event.value)
            contents = opened.get(event.position, {})
            data = decoded | {
                name: None if text is None else msgspec.Raw(text.encode())
                for name, text in contents.items()
            }
        line = {
            "partition": event.partition,
            "offset": event.offset,
            "specversion": "1.0",
            "id": event.id.decode(),
            "type": event.type.decode(),
            "source": SOURCE,
            "subject": event.key.decode(),
            "time": event.time.decode(),
            "sequence": event.sequence,
            "datacontenttype": "application/json",
        }
        if event.traceparent is not None:
            line["traceparent"] = event.traceparent.decode()
        # A value may have line breaks between its tokens.
        yield msgspec.json.encode({**line, "data": data}).replace(b"\n", b" ") + b"\n"
