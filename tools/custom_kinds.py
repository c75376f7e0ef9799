"""The custom resources of the manifests: their kinds, and JSON schemas from `custom_kinds.yaml`."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

_FILE = Path(__file__).with_name("custom_kinds.yaml")
_SCALARS = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}


@cache
def kinds() -> dict[tuple[str, str], dict[str, Any]]:
    """The schema of the fields of each custom kind, by API version and kind."""
    found = yaml.safe_load(_FILE.read_text())
    return {tuple(name.split(" ")): _schema(fields) for name, fields in found.items()}


def custom_schema(resource: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of a custom resource; None of one that is part of Kubernetes."""
    fields = kinds().get((resource["apiVersion"], resource["kind"]))
    if fields is None:
        return None
    everywhere: dict[str, Any] = {"apiVersion": {}, "kind": {}, "metadata": {}}
    return fields | {"properties": fields["properties"] | everywhere}


def _schema(fields: Any) -> dict[str, Any]:
    match fields:
        case dict():
            properties = {name: _schema(each) for name, each in fields.items()}
            return {"type": "object", "properties": properties, "additionalProperties": False}
        case [each]:
            return {"type": "array", "items": _schema(each)}
        case "scalars":
            return _SCALARS
        case "string" | "integer" | "boolean":
            return {"type": fields}
    raise ValueError(f"{_FILE.name}: {fields!r} is no type")
