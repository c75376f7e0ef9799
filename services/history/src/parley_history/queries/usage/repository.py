"""Repository of usage sums; one statement reads a report."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_history.queries.usage.request import GroupBy, UsageRequest

GroupKey = date | UUID | str | None
"""None groups the completions without a conversation, by session or by assistant."""

# Each group once per currency, then the total. The group without a key comes last.
_READ = """
WITH sums AS MATERIALIZED (
    SELECT {key} AS key, currency, sum(replies) AS replies, sum(prompt_tokens) AS prompt_tokens,
        sum(completion_tokens) AS completion_tokens, sum(estimated_tokens) AS estimated_tokens,
        sum(cost) AS cost
    FROM usage
    WHERE tenant = $1 AND {owner} AND day BETWEEN $3 AND $4
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
# The key expression of each grouping, and its type.
_KEYS: Mapping[GroupBy | None, tuple[str, str]] = {
    None: ("NULL::text", "text"),
    "day": ("day", "date"),
    "session": ("CASE WHEN assistant_id IS NOT NULL THEN session_id END", "uuid"),
    "assistant": ('assistant_id COLLATE "C"', "text"),
    "model": ('model COLLATE "C"', "text"),
    "user": ('owner COLLATE "C"', "text"),
}
# Two conditions, so that the planner never makes one generic plan for both.
_ONE_OWNER, _ALL_OWNERS = "owner = $2", "$2::text IS NULL"


@dataclass(slots=True)
class Sums:
    """`costs` by currency, exact, in millionths of a micro-unit."""

    replies: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated_tokens: int = 0
    costs: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UsageReport:
    """`groups` are in the order of their keys."""

    total: Sums
    groups: Sequence[tuple[GroupKey, Sums]]
    has_more: bool


class UsageRepository:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, principal: Principal, request: UsageRequest) -> UsageReport:
        rows = await self._pool.fetch(
            _statement(request),
            principal.tenant,
            request.user,
            request.start,
            request.end,
            request.session_id,
            request.assistant_id,
            request.model,
            request.after,
            # One group more than the limit shows whether there are more.
            request.limit + 1,
        )
        total, groups = Sums(), defaultdict[GroupKey, Sums](Sums)
        for grouped, key, currency, *sums, cost in rows:
            _add(groups[key] if grouped else total, currency, sums, int(cost))
        ordered = sorted(groups.items(), key=_sort_key)
        return UsageReport(total, ordered[: request.limit], has_more=len(ordered) > request.limit)


def _statement(request: UsageRequest) -> str:
    key, type = _KEYS[request.group_by]
    owner = _ALL_OWNERS if request.user is None else _ONE_OWNER
    return _READ.format(key=key, type=type, grouped=request.group_by is not None, owner=owner)


def _add(to: Sums, currency: str | None, sums: Sequence[int], cost: int) -> None:
    replies, prompt, completion, estimated = map(int, sums)
    to.replies += replies
    to.prompt_tokens += prompt
    to.completion_tokens += completion
    to.estimated_tokens += estimated
    if currency is not None:
        to.costs[currency] = cost


def _sort_key(group: tuple[GroupKey, Sums]) -> tuple[bool, str]:
    key, _ = group
    return key is None, str(key)
