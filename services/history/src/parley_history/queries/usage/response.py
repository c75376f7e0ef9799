"""The answer about usage, with costs rounded once, when they are read."""

from typing import Any

from msgspec import json

from parley_history.queries.usage.repository import GroupKey, Sums, UsageRepository
from parley_history.queries.usage.request import GroupBy, UsageRequest

_MILLION = 1_000_000

_KEYS: dict[GroupBy, str] = {
    "day": "day",
    "session": "session_id",
    "assistant": "assistant_id",
    "model": "model",
    "user": "user",
}


def usage_json(asked: UsageRequest, stored: UsageRepository) -> bytes:
    last = stored.groups[-1][0] if stored.has_more else None
    answer = {
        "object": "usage",
        "start": asked.start,
        "end": asked.end,
        "group_by": asked.group_by,
        "total": _counts(stored.total),
        "data": [_group(asked.group_by, key, sums) for key, sums in stored.groups],
        "has_more": stored.has_more,
        "next": last,
    }
    return json.encode(answer)


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
            {"currency": currency, "micros": micros_of(cost)}
            for currency, cost in sorted(sums.costs.items())
        ],
    }


def micros_of(cost: int) -> int:
    """Whole micro-units, half of one rounded up; `cost` is in millionths of them."""
    return (cost + _MILLION // 2) // _MILLION
