"""JSON schemas of record headers and values, for the AsyncAPI document."""

from typing import Any

from pydantic.json_schema import models_json_schema

from parley_events.asyncapi.streams import ALL_DATA_BY_TYPE
from parley_events.cloudevents import SOURCE

Json = dict[str, Any]


def schemas() -> Json:
    models = [(data, "serialization") for data in ALL_DATA_BY_TYPE.values()]
    _, defined = models_json_schema(
        models,  # type: ignore[arg-type]
        ref_template="#/components/schemas/{model}",
    )
    described = {name: readable(schema) for name, schema in defined["$defs"].items()}
    all_schemas = {"Headers": _headers(), "Sealed": SEALED, **described}
    # Code generators name types by the title.
    return {name: {"title": name, **schema} for name, schema in all_schemas.items()}


def readable(schema: Any, sealed: str = "#/components/schemas/Sealed") -> Any:
    """Simplify a schema: no titles of fields, no null alternatives, and `Sealed` by reference."""
    if isinstance(schema, list):
        return [readable(each, sealed) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "base64url":
        return {"$ref": sealed}
    if "anyOf" in schema:
        # Fields without a value are omitted from the JSON, never null.
        kinds = schema["anyOf"]
        return next(readable(each, sealed) for each in kinds if each != {"type": "null"})
    return {
        name: {field: readable(each, sealed) for field, each in value.items()}
        if name == "properties"
        else readable(value, sealed)
        for name, value in schema.items()
        if name != "title"
    }


SEALED: Json = {
    "type": "string",
    "format": "base64url",
    "description": (
        "A JSON object sealed with the session's key: AES-256-GCM, as URL-safe base64 of a format "
        "byte, the nonce and the ciphertext. Without the key only its length is visible."
    ),
}


def _headers() -> Json:
    text: Json = {"type": "string"}
    properties: Json = {
        "ce_specversion": {**text, "const": "1.0"},
        "ce_id": {
            **text,
            "format": "uuid",
            "description": "UUIDv7 of the event; increases within a stream. Duplicates of an "
            "event have the same ID.",
        },
        "ce_type": {**text, "description": "`parley.<stream>.<event>.v<N>`"},
        "ce_source": {**text, "const": SOURCE},
        "ce_subject": {
            **text,
            "format": "uuid",
            "description": "ID of the stream: a session's or an API key's ID, or derived from the "
            "tenant and ID of an assistant.",
        },
        "ce_time": {
            **text,
            "format": "date-time",
            "description": "Time of the event, in UTC; never decreases within a stream.",
        },
        "ce_sequence": {
            **text,
            "pattern": "^[1-9][0-9]*$",
            "description": "Position of the event in its stream, from 1 without a gap.",
        },
        "content-type": {**text, "const": "application/json"},
        "traceparent": {**text, "description": "W3C trace context of the request, if any."},
    }
    required = [name for name in properties if name != "traceparent"]
    return {"type": "object", "properties": properties, "required": required}
