"""Sums of usage, read from the read model in one statement."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_history.queries.usage.request import GroupBy, UsageRequest

GroupKey = date | UUID | str | None
"""None: completions, where the groups are sessions or assistants."""

# Each group once per currency, and then all of them. A group without a key is the last one.
_READ = """
WITH sums AS MATERIALIZED (
    SELECT {key} AS key, currency, sum(replies) AS replies, sum(prompt_tokens) AS prompt_tokens,
        sum(completion_tokens) AS completion_tokens, sum(estimated_tokens) AS estimated_tokens,
        sum(cost) AS cost
    FROM usage
    WHERE tenant = $1 AND {whose} AND day BETWEEN $3 AND $4
        AND ($5::uuid IS NULL OR session_id = $5) AND ($6::text IS NULL OR assistant_id = $6)
        AND ($7::text IS NULL OR model = $7)
    GROUP BY 1, 2
),
page AS (
    SELECT DISTINCT key FROM sums
    WHERE {grouped} AND ($8::{type} IS NULL OR key > $8 OR key IS NULL)
    ORDER BY key NULLS LAST LIMIT $9
)
SELECT true AS grouped, sums.* FROM page JOIN sums ON sums.key IS NOT DISTINCT FROM page.key
UNION ALL
SELECT false, NULL, currency, sum(replies), sum(prompt_tokens), sum(completion_tokens),
    sum(estimated_tokens), sum(cost)
FROM sums GROUP BY currency
"""
# A key, and its type.
_KEYS: Mapping[GroupBy | None, tuple[str, str]] = {
    None: ("NULL::text", "text"),
    "day": ("day", "date"),
    "session": ("CASE WHEN assistant_id IS NOT NULL THEN session_id END", "uuid"),
    "assistant": ('assistant_id COLLATE "C"', "text"),
    "model": ('model COLLATE "C"', "text"),
    "user": ('owner COLLATE "C"', "text"),
}
# Two, so that no plan is made that would serve both.
_OF_ONE, _OF_ALL = "owner = $2", "$2::text IS NULL"


@dataclass(slots=True)
class Sums:
    """`costs` by currency, exact: in micro-units times a million."""

    replies: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated_tokens: int = 0
    costs: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UsageRepository:
    """`groups` are in the order of their keys."""

    total: Sums
    groups: Sequence[tuple[GroupKey, Sums]]
    has_more: bool


class UsageSums:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, person: Principal, asked: UsageRequest) -> UsageRepository:
        rows = await self._pool.fetch(
            _statement(asked),
            person.tenant,
            asked.user,
            asked.start,
            asked.end,
            asked.session_id,
            asked.assistant_id,
            asked.model,
            asked.after,
            # One group more than asked for tells whether there are more.
            asked.limit + 1,
        )
        total, groups = Sums(), defaultdict[GroupKey, Sums](Sums)
        for grouped, key, currency, *sums, cost in rows:
            _add(groups[key] if grouped else total, currency, sums, int(cost))
        ordered = sorted(groups.items(), key=_order)
        return UsageRepository(total, ordered[: asked.limit], has_more=len(ordered) > asked.limit)


def _statement(asked: UsageRequest) -> str:
    key, type = _KEYS[asked.group_by]
    whose = _OF_ALL if asked.user is None else _OF_ONE
    return _READ.format(key=key, type=type, grouped=asked.group_by is not None, whose=whose)


def _add(to: Sums, currency: str | None, sums: Sequence[int], cost: int) -> None:
    replies, prompt, completion, estimated = map(int, sums)
    to.replies += replies
    to.prompt_tokens += prompt
    to.completion_tokens += completion
    to.estimated_tokens += estimated
    if currency is not None:
        to.costs[currency] = cost


def _order(group: tuple[GroupKey, Sums]) -> tuple[bool, str]:
    key, _ = group
    return key is None, str(key)
