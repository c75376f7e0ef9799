"""The rules of Prometheus: read, and wrapped in the resource of the Prometheus Operator."""

from typing import Any

import yaml

from tools.monitoring import RULES

_HEADER = "# Generated from parley.rules.yaml by `make format`; edit that file instead.\n"


def rules() -> list[dict[str, Any]]:
    """The recording and alerting rules of all groups."""
    return [rule for group in _groups() for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def prometheus_rule() -> str:
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "parley"},
        "spec": {"groups": _groups()},
    }
    return _HEADER + yaml.dump(resource, Dumper=_Dumper, sort_keys=False, width=1_000)


def _groups() -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
    return groups


class _Dumper(yaml.SafeDumper):
    """Writes expressions of several lines as they are read."""

    def ignore_aliases(self, _: Any) -> bool:
        return True


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)
