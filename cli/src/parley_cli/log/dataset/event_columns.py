"""Columns of exported events: an Arrow schema per event type, derived from the event models.

The first columns are those of every event, from the record's headers; the others are the fields of
its data, under their names. Nested values are structs. Each column has a comment.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import pyarrow as pa

from parley_events.asyncapi.streams import ALL_DATA_BY_TYPE, STREAMS, Stream
from parley_events.field_descriptions import FIELD_DESCRIPTIONS

TIME = pa.timestamp("us", "UTC")
MAX_INT32 = 2**31 - 1
# Keys of the metadata of a column.
COMMENT, SEALED, UUID_FORMAT = b"comment", b"sealed", b"uuid"
UNKNOWN_FIELDS, DATA = "unknown_fields", "data"

_SEALED_COMMENT = "Sealed: URL-safe base64 of ciphertext, unless the export has opened content."


def stream_of(event_type: str) -> Stream:
    """The stream of a type; that of an unknown type follows from its name."""
    for stream in STREAMS:
        if event_type.startswith(type_prefix(stream)):
            return stream
    return STREAMS[0]


def type_prefix(stream: Stream) -> str:
    """How the types of its events begin."""
    return f"parley.{stream.channel.removesuffix('s')}."


@cache
def event_schema(event_type: str) -> pa.Schema:
    """The columns of an event type; those of an unknown type end with its data as JSON."""
    data = ALL_DATA_BY_TYPE.get(event_type)
    if data is None:
        fields = [_field(DATA, pa.string(), "Data of the event, as JSON.")]
        comment = "An event of a type that this version of Parley does not know."
    else:
        schema = data.model_json_schema(mode="validation")
        definitions = schema.get("$defs", {})
        fields = [
            _data_field(name, each, definitions) for name, each in schema["properties"].items()
        ]
        fields.append(
            _field(
                UNKNOWN_FIELDS,
                pa.string(),
                "Fields that this version of Parley does not know, as a JSON object; else null.",
            )
        )
        comment = schema.get("description", "")
    metadata = {"event_type": event_type, "comment": comment}
    return pa.schema([*_event_fields(stream_of(event_type)), *fields], metadata=metadata)


def sealed_columns(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if SEALED in (field.metadata or {})]


@cache
def data_fields(event_type: str) -> list[pa.Field]:
    """The columns that hold fields of the data of a known type."""
    count = len(_event_fields(stream_of(event_type)))
    return list(event_schema(event_type))[count:-1]


def _event_fields(stream: Stream) -> list[pa.Field]:
    stream_id = "session_id" if stream is STREAMS[0] else "stream_id"
    return [
        _field("id", pa.string(), "UUIDv7 of the event; increases within its stream.", False),
        _field(stream_id, pa.string(), "UUID of the stream, the key of the record.", False),
        _field("sequence", pa.int32(), "Position in the stream, from 1 without a gap.", False),
        _field("time", TIME, "Time of the event, in UTC; never decreases in a stream.", False),
        _field("log_partition", pa.int32(), "Partition of the topic.", False),
        _field("log_offset", pa.int64(), "Offset of its first appearance.", False),
        _field("traceparent", pa.string(), "W3C trace context of the request, if any."),
    ]


def _data_field(name: str, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> pa.Field:
    kind, nullable = _arrow_type(schema, definitions)
    comment, formats = FIELD_DESCRIPTIONS[name], _formats(schema)
    metadata = {COMMENT: comment}
    if "uuid" in formats:
        metadata[UUID_FORMAT] = "true"
    if "base64url" in formats:
        metadata |= {COMMENT: f"{comment} {_SEALED_COMMENT}", SEALED: "true"}
    return pa.field(name, kind, nullable, metadata)


def _field(name: str, kind: pa.DataType, comment: str, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable, {COMMENT: comment})


def _formats(schema: Mapping[str, Any]) -> set[str | None]:
    return {each.get("format") for each in schema.get("anyOf", [schema])}


def _arrow_type(
    schema: Mapping[str, Any], definitions: Mapping[str, Any]
) -> tuple[pa.DataType, bool]:
    """The type of a JSON schema as the event models have them, and whether it may be null."""
    if "anyOf" in schema:
        [kind] = [each for each in schema["anyOf"] if each != {"type": "null"}]
        return _arrow_type(kind, definitions)[0], True
    if "$ref" in schema:
        return _arrow_type(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    match schema["type"], schema.get("format"):
        case "object", _:
            fields = schema["properties"].items()
            # Nullable: Arrow does not cast into structs with fields that are not.
            return pa.struct(
                [(name, _arrow_type(each, definitions)[0]) for name, each in fields]
            ), False
        case "array", _:
            return pa.list_(_arrow_type(schema["items"], definitions)[0]), False
        case "integer", _:
            return pa.int32() if schema["maximum"] <= MAX_INT32 else pa.int64(), False
        case "boolean", _:
            return pa.bool_(), False
        case "string", "date-time":
            return TIME, False
        case _:
            return pa.string(), False
