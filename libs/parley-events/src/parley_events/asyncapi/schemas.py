"""The JSON schemas of headers, values and what is in them, as AsyncAPI has them."""

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
    described = {name: _readable(schema) for name, schema in defined["$defs"].items()}
    return {"Headers": _headers(), "Sealed": SEALED, **described}


def _readable(schema: Any) -> Any:
    """Without what repeats a field's name or default; ciphertext by its own name."""
    if isinstance(schema, list):
        return [_readable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "base64url":
        return {"$ref": "#/components/schemas/Sealed"}
    if "anyOf" in schema:
        # Fields without a value are left out of the JSON, never null.
        return next(_readable(each) for each in schema["anyOf"] if each != {"type": "null"})
    return {
        name: {field: _readable(each) for field, each in value.items()}
        if name == "properties"
        else _readable(value)
        for name, value in schema.items()
        if name != "title"
    }


SEALED: Json = {
    "type": "string",
    "format": "base64url",
    "description": (
        "A JSON object, sealed with the session's key: AES-256-GCM, as URL-safe base64 of a format "
        "byte, the nonce and the ciphertext. Whoever lacks the key sees its length and no more."
    ),
}


def _headers() -> Json:
    text: Json = {"type": "string"}
    properties: Json = {
        "ce_specversion": {**text, "const": "1.0"},
        "ce_id": {
            **text,
            "format": "uuid",
            "description": "A UUIDv7; it increases along a stream. The same event has the same "
            "id each time that it appears.",
        },
        "ce_type": {**text, "description": "`parley.<stream>.<event>.v<N>`"},
        "ce_source": {**text, "const": SOURCE},
        "ce_subject": {
            **text,
            "format": "uuid",
            "description": "The id of the stream: a session's id, or made of an assistant's tenant "
            "and id.",
        },
        "ce_time": {
            **text,
            "format": "date-time",
            "description": "When it happened, in UTC; it never decreases along a stream.",
        },
        "ce_sequence": {
            **text,
            "pattern": "^[1-9][0-9]*$",
            "description": "The event's place in its stream, from 1 without a gap.",
        },
        "content-type": {**text, "const": "application/json"},
        "traceparent": {**text, "description": "W3C trace context of whoever asked, if any."},
    }
    required = [name for name in properties if name != "traceparent"]
    return {"type": "object", "properties": properties, "required": required}
