"""Converts records of one event type into Arrow tables, by columns.

Arrow's JSON reader parses the values of ordinary records. If one of them does not have exactly the
form of its model, all records of the table are decoded one by one, by the event models.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from parley_cli.log.dataset.event_columns import (
    TIME,
    UUID_FORMAT,
    data_fields,
    event_schema,
    stream_of,
)
from parley_cli.log.dataset.raw_events import RawEvent, raw_events, raw_table
from parley_events.asyncapi.streams import ALL_DATA_BY_TYPE
from parley_events.cloudevents import Record, UndecodableRecord, decode
from parley_events.event_decoders import decode_api_key, decode_assistant, decode_audit

# Twice the longest value of a record, which must lie within a block and the next one.
_BLOCK_BYTES = 2 * 1024 * 1024
# Few enough that the copies of one table fit into the memory of those of the previous one.
_ROWS_TOGETHER = 10_000
_UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


# The data of a record, by stream; each raises UndecodableRecord.
_DECODERS: Mapping[str, Callable[[Record], Any]] = {
    "sessions": lambda record: decode(record).data,
    "assistants": lambda record: decode_assistant(record).data,
    "api_keys": lambda record: decode_api_key(record).data,
    "audit": decode_audit,
}


class Undecodable(msgspec.Struct, frozen=True):
    """A record that is no event, and why."""

    partition: int
    offset: int
    error: str


class EventTable(NamedTuple):
    """`raw` has the events of the rows of `table`."""

    table: pa.Table
    raw: pa.Table
    undecodable: Sequence[Undecodable]


class _Irregular(Exception):
    """A value does not have exactly the form of its model."""


def event_tables(event_type: str, events: pa.Table) -> Iterator[tuple[str, EventTable]]:
    """The days of the events, in order, and the table of each, as `event_table` gives it.

    Days without an irregular event are parsed together: most have few events, and a table costs
    more than the rows of one. The events of a day are together.
    """
    days = pc.value_counts(_days(events)).to_pylist()
    try:
        whole = _parsed_table(event_type, events)
    except (_Irregular, pa.ArrowException):
        whole = None
    start = 0
    for day, count in map(dict.values, days):
        of_day = events.slice(start, count)
        if whole is None:
            yield day.decode(), event_table(event_type, of_day)
        else:
            yield day.decode(), EventTable(whole.slice(start, count), of_day, ())
        start += count


def by_type(events: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The events of each type in order of their days; a type with many comes in several tables.

    Each table has whole days.
    """
    # In one piece, as a row is taken out of many pieces at the price of copying all.
    events = events.combine_chunks()
    types, days = events["type"], _days(events)
    for kind in sorted(pc.unique(types).to_pylist()):
        rows = pc.indices_nonzero(pc.equal(types, kind))
        # A stable sort: the events of a day stay in the order of the log.
        rows = rows.take(pc.sort_indices(days.take(rows)))
        start = end = 0
        for each in pc.value_counts(days.take(rows)).to_pylist():
            end += each["counts"]
            if end - start >= _ROWS_TOGETHER or end == len(rows):
                yield kind.decode(), events.take(rows.slice(start, end - start))
                start = end


def _days(events: pa.Table) -> Any:
    return pc.binary_slice(events["time"], 0, len("2026-11-24"))


def event_table(event_type: str, events: pa.Table) -> EventTable:
    """The rows of the events, in their order, without those that cannot be decoded."""
    try:
        return EventTable(_parsed_table(event_type, events), events, ())
    except (_Irregular, pa.ArrowException):
        return _decoded_table(event_type, raw_events(events))


def _parsed_table(event_type: str, events: pa.Table) -> pa.Table:
    """Raises _Irregular or ArrowException."""
    if event_type not in ALL_DATA_BY_TYPE:
        raise _Irregular
    columns = [*_event_columns(events), *_parsed(event_type, events["value"])]
    columns.append(pa.nulls(len(events), pa.string()))
    return pa.Table.from_arrays(columns, schema=event_schema(event_type))


def _decoded_table(event_type: str, events: Sequence[RawEvent]) -> EventTable:
    decodable: list[RawEvent] = []
    values: list[bytes] = []
    rest: list[str | None] = []
    undecodable = []
    for event in events:
        try:
            value, other = _decode_value(event_type, event)
        except UndecodableRecord as error:
            undecodable.append(Undecodable(event.partition, event.offset, str(error)))
        else:
            decodable.append(event)
            values.append(value)
            rest.append(other)
    raw = raw_table(decodable)
    columns = _event_columns(raw)
    if event_type in ALL_DATA_BY_TYPE and decodable:
        columns += _parsed(event_type, pa.chunked_array([values], pa.binary()))
    elif event_type in ALL_DATA_BY_TYPE:
        columns += [pa.nulls(0, field.type) for field in data_fields(event_type)]
    columns.append(pa.array(rest, pa.string()))
    table = pa.Table.from_arrays(columns, schema=event_schema(event_type))
    return EventTable(table, raw, undecodable)


def _decode_value(event_type: str, event: RawEvent) -> tuple[bytes, str | None]:
    """The known fields as one line of JSON, and the other ones as a JSON object.

    All fields of an unknown type are others. Raises UndecodableRecord.
    """
    decoded = _DECODERS[stream_of(event_type).channel](event.record())
    if event_type not in ALL_DATA_BY_TYPE:
        try:
            data = msgspec.json.decode(event.value, type=dict[str, Any])
        except msgspec.DecodeError:
            raise UndecodableRecord("the value is not strict JSON") from None
        return b"", _json(data)
    dumped = decoded.model_dump(mode="json", exclude_none=True)
    known, unknown = _split(dumped, pa.struct(data_fields(event_type)))
    return msgspec.json.encode(known), _json(unknown) if unknown else None


def _json(value: Mapping[str, Any]) -> str:
    return msgspec.json.encode(value).decode()


def _split(
    value: Mapping[str, Any], fields: pa.StructType
) -> tuple[dict[str, Any], dict[str, Any]]:
    known: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for name, each in value.items():
        index = fields.get_field_index(name)
        if index < 0:
            unknown[name] = each
        elif isinstance(each, dict) and pa.types.is_struct(fields.field(index).type):
            known[name], others = _split(each, fields.field(index).type)
            if others:
                unknown[name] = others
        else:
            known[name] = each
    return known, unknown


def _event_columns(events: pa.Table) -> list[Any]:
    """Raises ArrowException for a traceparent that is not UTF-8."""
    return [
        events["id"].cast(pa.string()),
        events["key"].cast(pa.string()),
        events["sequence"],
        events["time"].cast(pa.string()).cast(TIME),
        events["partition"],
        events["offset"],
        events["traceparent"].cast(pa.string()),
    ]


def _parsed(event_type: str, values: pa.ChunkedArray) -> list[Any]:
    """The data columns of values that have exactly the form of their model.

    Raises _Irregular or ArrowException for others.
    """
    # Arrow's reader crashes at a line `null`, accepts text that is not UTF-8, and ignores where a
    # line ends; with braces around each value, none can end within the next one.
    text = values.cast(pa.string())
    braced = pc.and_(pc.starts_with(text, "{"), pc.ends_with(text, "}"))
    whole = pa.ListArray.from_arrays([0, len(values)], values.combine_chunks())
    lines = pc.binary_join(whole, b"\n")[0].as_py()
    if not pc.all(braced).as_py() or lines.count(b"\n") != len(values) - 1:
        raise _Irregular
    table = arrow_json.read_json(
        pa.BufferReader(lines),
        read_options=arrow_json.ReadOptions(
            block_size=min(_BLOCK_BYTES, len(lines) + 1),
            # Arrow's threads would compete with the one that reads the log.
            use_threads=False,
        ),
        parse_options=_parse_options(event_type),
    )
    if table.num_rows != len(values):
        raise _Irregular
    return [_checked(table.column(field.name), field) for field in data_fields(event_type)]


@cache
def _parse_options(event_type: str) -> arrow_json.ParseOptions:
    fields = [(each.name, _text_of_time(each.type)) for each in data_fields(event_type)]
    return arrow_json.ParseOptions(
        explicit_schema=pa.schema(fields), unexpected_field_behavior="error"
    )


def _text_of_time(kind: pa.DataType) -> pa.DataType:
    # Arrow's reader parses fewer forms of a time than its cast.
    return pa.string() if pa.types.is_timestamp(kind) else kind


def _checked(column: Any, field: pa.Field) -> Any:
    if not field.nullable and column.null_count:
        raise _Irregular
    if pa.types.is_struct(field.type):
        # A field with a default or a newer optional field may be missing; the model knows.
        for index in range(field.type.num_fields):
            if pc.struct_field(column, index).null_count != column.null_count:
                raise _Irregular
    if pa.types.is_timestamp(field.type):
        return column.cast(TIME)
    if UUID_FORMAT in field.metadata:
        uuids = pc.match_substring_regex(column.drop_null(), _UUID)
        if pc.all(uuids).as_py() is False:
            raise _Irregular
    return column
