"""Dashboards of Grafana as JSON: panels in rows, which select by data source and namespace.

https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.monitoring import RUNBOOKS_URL

COLUMNS = 24
SCHEMA_VERSION = 39  # Grafana 10.3; later ones migrate it when they load it.
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Query:
    """An expression, and the legend of its series, such as `{{pod}}`."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """`unit` is one of Grafana's ids; a text has none."""

    title: str
    kind: str
    unit: str = ""
    queries: Sequence[Query] = ()
    description: str = ""
    defaults: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    overrides: Sequence[dict[str, Any]] = ()
    transformations: Sequence[dict[str, Any]] = ()
    height: int = 8
    is_instant: bool = False

    def to_json(self, number: int, x: int, y: int, width: int) -> dict[str, Any]:
        panel: dict[str, Any] = {
            "id": number,
            "title": self.title,
            "type": self.kind,
            "gridPos": {"h": self.height, "w": width, "x": x, "y": y},
            "options": self.options,
        }
        if self.description:
            panel["description"] = self.description
        if self.queries:
            panel["datasource"] = _DATASOURCE
            panel["targets"] = [self._target(i, query) for i, query in enumerate(self.queries)]
            panel["fieldConfig"] = {
                "defaults": {"unit": self.unit, **self.defaults},
                "overrides": [*self.overrides],
            }
        if self.transformations:
            panel["transformations"] = [*self.transformations]
        return panel

    def _target(self, index: int, query: Query) -> dict[str, Any]:
        target: dict[str, Any] = {
            "refId": chr(ord("A") + index),
            "datasource": _DATASOURCE,
            "expr": query.expression,
            "legendFormat": query.legend,
        }
        if self.is_instant:
            target |= {"instant": True, "range": False}
            if self.kind == "table":
                target["format"] = "table"
        return target


@dataclass(frozen=True)
class Board:
    """Rows have a title and panels of equal width."""

    uid: str
    title: str
    rows: Sequence[tuple[str, Sequence[Panel]]]

    def to_json(self) -> str:
        document = {
            "uid": self.uid,
            "title": f"Parley: {self.title}",
            "tags": ["parley"],
            "schemaVersion": SCHEMA_VERSION,
            "editable": True,
            "graphTooltip": 1,  # One crosshair for all panels.
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "timezone": "browser",
            "links": [_LINK_TO_BOARDS],
            "templating": {"list": [_DATASOURCE_VARIABLE, _NAMESPACE_VARIABLE, _RUNBOOKS_VARIABLE]},
            "panels": self._panels(),
        }
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"

    def _panels(self) -> list[dict[str, Any]]:
        panels: list[dict[str, Any]] = []
        y = 0
        for title, members in self.rows:
            row = {"type": "row", "title": title, "collapsed": False, "panels": []}
            row["gridPos"] = {"h": 1, "w": COLUMNS, "x": 0, "y": y}
            panels.append({"id": len(panels) + 1, **row})
            y += 1
            width = COLUMNS // len(members)
            for i, panel in enumerate(members):
                panels.append(panel.to_json(len(panels) + 1, i * width, y, width))
            y += max(panel.height for panel in members)
        return panels


def time_series(
    title: str, unit: str, *queries: Query, description: str = "", stacked: bool = False
) -> Panel:
    custom: dict[str, Any] = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}
    if stacked:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    return Panel(
        title,
        "timeseries",
        unit,
        queries,
        description,
        defaults={"custom": custom, "min": 0},
        options={
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    )


def stat(
    title: str, unit: str, query: Query, *, red_below: float, green_from: float, description: str
) -> Panel:
    """The latest value on red, yellow or green."""
    steps = [
        {"color": "red", "value": None},
        {"color": "yellow", "value": red_below},
        {"color": "green", "value": green_from},
    ]
    return Panel(
        title,
        "stat",
        unit,
        [query],
        description,
        defaults={"thresholds": {"mode": "absolute", "steps": steps}, "noValue": "no data"},
        options={
            "colorMode": "background",
            "graphMode": "none",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
        height=5,
        is_instant=True,
    )


def text(title: str, markdown: str, height: int) -> Panel:
    return Panel(title, "text", options={"mode": "markdown", "content": markdown}, height=height)


def series(metric: str, matchers: str = "") -> str:
    """The series of a metric in the selected namespaces."""
    return f'{metric}{{{matchers}{", " if matchers else ""}namespace=~"$namespace"}}'


def gauge(
    metric: str,
    by: str = "",
    *,
    aggregate: str = "sum",
    matchers: str = "",
    legend: str | None = None,
) -> Query:
    """A gauge, aggregated by labels, which are its legend unless another one is given."""
    return _aggregated(aggregate, series(metric, matchers), by, legend)


def rate(metric: str, by: str = "", *, matchers: str = "", legend: str | None = None) -> Query:
    """A counter's increase per second, summed by labels, which are its legend by default."""
    increase = f"rate({series(metric, matchers)}[$__rate_interval])"
    return _aggregated("sum", increase, by, legend)


def _aggregated(aggregate: str, expression: str, by: str, legend: str | None) -> Query:
    groups = f"by ({by}) " if by else ""
    return Query(f"{aggregate} {groups}({expression})", legend or _legend(by))


def quantiles(histogram: str, by: str = "") -> list[Query]:
    """p50 and p99 of a histogram in the selected namespaces, by more labels if given."""
    groups = f"{by}, le" if by else "le"
    return [
        Query(
            f"histogram_quantile({quantile}, sum by ({groups}) "
            f"(rate({series(f'{histogram}_bucket')}[$__rate_interval])))",
            f"p{100 * quantile:.0f} {_legend(by)}".strip(),
        )
        for quantile in (0.5, 0.99)
    ]


def _legend(by: str) -> str:
    return " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(",") if label)


_LINK_TO_BOARDS = {
    "type": "dashboards",
    "title": "Parley",
    "tags": ["parley"],
    "includeVars": True,
    "keepTime": True,
    "asDropdown": False,
}
_DATASOURCE_VARIABLE = {
    "name": "datasource",
    "label": "Data source",
    "type": "datasource",
    "query": "prometheus",
    "refresh": 1,
}
_NAMESPACE_VARIABLE = {
    "name": "namespace",
    "label": "Namespace",
    "type": "query",
    "datasource": _DATASOURCE,
    "query": {"query": "label_values(parley_build_info, namespace)", "refId": "namespace"},
    "definition": "label_values(parley_build_info, namespace)",
    "refresh": 2,
    "sort": 1,
    "multi": True,
    "includeAll": True,
    "allValue": ".*",
    "current": {"text": ["All"], "value": ["$__all"]},
}
_RUNBOOKS_VARIABLE = {
    "name": "runbooks",
    "label": "Runbooks",
    "description": "Where the folder docs/runbooks is published.",
    "type": "textbox",
    "query": RUNBOOKS_URL,
    "current": {"text": RUNBOOKS_URL, "value": RUNBOOKS_URL},
}
