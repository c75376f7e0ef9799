"""JSON Schemas of the data of every event version, and whether a change to one is compatible.

Source: https://json-schema.org/draft/2020-12/schema
"""

import json
import operator
from collections.abc import Iterator, Mapping
from inspect import getdoc

from parley_events.asyncapi.schemas import SEALED, Json, readable
from parley_events.asyncapi.streams import ALL_DATA_BY_TYPE
from parley_events.field_descriptions import FIELD_DESCRIPTIONS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_LOWER_BOUNDS, _UPPER_BOUNDS = ("minimum", "minLength"), ("maximum", "maxLength")


def json_schemas() -> Mapping[str, str]:
    """The schema of each event type, as text."""
    return {
        event_type: json.dumps(json_schema(event_type), indent=2, ensure_ascii=False) + "\n"
        for event_type in ALL_DATA_BY_TYPE
    }


def json_schema(event_type: str) -> Json:
    data = ALL_DATA_BY_TYPE[event_type]
    schema: Json = readable(data.model_json_schema(), sealed="#/$defs/Sealed")
    properties = {
        name: {"description": FIELD_DESCRIPTIONS[name], **field}
        for name, field in schema["properties"].items()
    }
    return {
        "$schema": _DIALECT,
        "title": event_type,
        "description": getdoc(data),
        **{name: schema[name] for name in ("type", "required", "additionalProperties")},
        "properties": properties,
        "$defs": {**schema.get("$defs", {}), "Sealed": SEALED},
    }


def incompatible_changes(published: Json, changed: Json, where: str = "") -> Iterator[str]:
    """The changes after which an old record or an old consumer fails, as sentences.

    A field may be added if it is optional, and an enumeration may grow.
    """
    before, after = _properties(published), _properties(changed)
    for name in sorted(before.keys() - after.keys()):
        yield f"{where}{name} was removed"
    required = set(changed.get("required", ()))
    for name in sorted(required - set(published.get("required", ()))):
        yield f"{where}{name} became required"
    for name in sorted(set(published.get("required", ())) - required):
        yield f"{where}{name} became optional"
    for name in sorted(before.keys() & after.keys()):
        old, new = _resolved(before[name], published), _resolved(after[name], changed)
        yield from _incompatible_field(old, new, f"{where}{name}")
        if _properties(old):
            yield from incompatible_changes(
                {**old, "$defs": published.get("$defs", {})},
                {**new, "$defs": changed.get("$defs", {})},
                f"{where}{name}.",
            )


def _incompatible_field(old: Json, new: Json, name: str) -> Iterator[str]:
    for key in ("type", "format", "pattern"):
        if old.get(key) != new.get(key):
            yield f"{name} has another {key}"
    if missing := set(old.get("enum", ())) - set(new.get("enum", ())):
        yield f"{name} lost {', '.join(sorted(missing))}"
    if "enum" in new and "enum" not in old:
        yield f"{name} became an enumeration"
    for keys, is_stricter in (
        (_LOWER_BOUNDS, operator.lt),
        (_UPPER_BOUNDS, operator.gt),
    ):
        for key in keys:
            if key in new and (key not in old or is_stricter(old[key], new[key])):
                yield f"{name} has a stricter {key}"


def _properties(schema: Json) -> Mapping[str, Json]:
    properties: Mapping[str, Json] = schema.get("properties", {})
    return properties


def _resolved(schema: Json, document: Json) -> Json:
    if "$ref" not in schema:
        return schema
    resolved: Json = document["$defs"][schema["$ref"].rpartition("/")[2]]
    return resolved
