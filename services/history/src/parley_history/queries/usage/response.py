"""JSON of a usage report; costs are rounded only here."""

from typing import Any

from msgspec import json

from parley_history.queries.usage.repository import GroupKey, Sums, UsageReport
from parley_history.queries.usage.request import GroupBy, UsageRequest

_MILLION = 1_000_000

_KEYS: dict[GroupBy, str] = {
    "day": "day",
    "session": "session_id",
    "assistant": "assistant_id",
    "model": "model",
    "user": "user",
}


def encode_usage(request: UsageRequest, report: UsageReport) -> bytes:
    last = report.groups[-1][0] if report.has_more else None
    body = {
        "object": "usage",
        "start": request.start,
        "end": request.end,
        "group_by": request.group_by,
        "total": _counts(report.total),
        "data": [_group(request.group_by, key, sums) for key, sums in report.groups],
        "has_more": report.has_more,
        "next": last,
    }
    return json.encode(body)


def _group(group_by: GroupBy | None, key: GroupKey, sums: Sums) -> dict[str, Any]:
    assert group_by is not None
    return {"object": "usage.group", _KEYS[group_by]: key, **_counts(sums)}


def _counts(sums: Sums) -> dict[str, Any]:
    return {
        "replies": sums.replies,
        "prompt_tokens": sums.prompt_tokens,
        "completion_tokens": sums.completion_tokens,
        "total_tokens": sums.prompt_tokens + sums.completion_tokens,
        "estimated_tokens": sums.estimated_tokens,
        "cost": [
            {"currency": currency, "micros": round_to_micros(cost)}
            for currency, cost in sorted(sums.costs.items())
        ],
    }


def round_to_micros(cost: int) -> int:
    """Round millionths of a micro-unit to whole micro-units, half up."""
    return (cost + _MILLION // 2) // _MILLION
