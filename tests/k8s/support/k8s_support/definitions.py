"""Definitions of the custom resources that the manifests use, from the copied schemas."""

import json
from typing import Any

from tools.resource_schemas import SCHEMAS

_INTEGER_OR_STRING = [{"type": "string"}, {"type": "integer"}]


def definitions(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A definition for each custom kind among the resources."""
    kinds = {(each["apiVersion"], each["kind"]) for each in resources}
    found = []
    for api_version, kind in sorted(kinds):
        group, _, version = api_version.rpartition("/")
        file = SCHEMAS / group / f"{kind.lower()}_{version}.json"
        if file.exists():
            found.append(_definition(group, version, kind, json.loads(file.read_text())))
    return found


def _definition(group: str, version: str, kind: str, schema: Any) -> dict[str, Any]:
    singular = kind.lower()
    plural = f"{singular[:-1]}ies" if singular.endswith("y") else f"{singular}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "singular": singular, "plural": plural},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _structural(schema)},
                }
            ],
        },
    }


def _structural(schema: Any) -> Any:
    """The schema in the form of definitions, where unknown fields are refused by themselves."""
    if isinstance(schema, list):
        return [_structural(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("oneOf") == _INTEGER_OR_STRING:
        rest = {key: value for key, value in schema.items() if key != "oneOf"}
        return rest | {"x-kubernetes-int-or-string": True}
    return {
        key: {name: _structural(each) for name, each in value.items()}
        if key == "properties"
        else _structural(value)
        for key, value in schema.items()
        if key != "additionalProperties" or value is not False
    }
