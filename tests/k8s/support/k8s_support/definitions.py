"""Definitions of the custom resources that the manifests use, for a cluster without operators."""

from typing import Any

from tools.custom_kinds import kinds

_ANYTHING = {"x-kubernetes-preserve-unknown-fields": True}


def definitions() -> list[dict[str, Any]]:
    return [_definition(*kind, fields) for kind, fields in sorted(kinds().items())]


def _definition(api_version: str, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    group, _, version = api_version.rpartition("/")
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
            "names": {
                "kind": kind,
                "singular": singular,
                "plural": plural,
                "listKind": f"{kind}List",
            },
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _structural(fields)},
                }
            ],
        },
    }


def _structural(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema in the form of definitions, where unknown fields are refused by themselves."""
    match schema:
        case {"properties": properties}:
            fields = {name: _structural(each) for name, each in properties.items()}
            return {"type": "object", "properties": fields}
        case {"items": items}:
            return {"type": "array", "items": _structural(items)}
        case {"additionalProperties": _}:
            return {"type": "object"} | _ANYTHING
    return schema
