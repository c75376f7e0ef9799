"""What an expression of PromQL selects: metrics, the labels of their matchers, and groupings."""

import re
from dataclasses import dataclass, field

import promql_parser

# Of Grafana; the parser knows durations only.
_INTERVAL = "$__rate_interval"


@dataclass
class Selection:
    metrics: dict[str, set[str]] = field(default_factory=dict)
    """Each metric with the labels of its matchers."""
    groupings: set[str] = field(default_factory=set)
    """The labels of `by`, `on` and `group_left`."""


def selection(expression: str) -> Selection:
    """Raises ValueError if the expression is not PromQL."""
    found = Selection()

    def visit(node: promql_parser.Expr) -> None:
        match node:
            case promql_parser.MatrixSelector():
                visit(node.vector_selector)
            case promql_parser.VectorSelector():
                labels = {matcher.name for matcher in node.matchers.matchers}
                found.metrics.setdefault(node.name or "", set()).update(labels)
            case promql_parser.AggregateExpr() if node.modifier:
                found.groupings.update(node.modifier.labels)
            case promql_parser.BinaryExpr() if node.modifier:
                if node.modifier.matching:
                    found.groupings.update(node.modifier.matching.labels)
                found.groupings.update(node.modifier.group_labels or ())

    promql_parser.walk(promql_parser.parse(expression.replace(_INTERVAL, "5m")), visit)
    return found


def family(metric: str) -> str:
    """The name without the suffix of a counter's or histogram's samples."""
    return re.sub(r"_(total|bucket|sum|count)$", "", metric)
