"""Counts of turns, tokens and costs in Postgres: what counts towards limits (ADR 49, 55)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_core.limits.rules import BUDGETS, Limit, LimitName, subject_of
from parley_core.storage.postgres_pool import Pool

# In the order of the parameters of count_turn.
_COUNTED: Sequence[LimitName] = (
    "turns_per_minute",
    "open_turns",
    "tokens_per_minute",
    "tokens_per_day",
)
# In the order of the parameters of count_priced_turn that follow.
_BUDGETS: Sequence[LimitName] = ("cost_per_day", "cost_per_month")
MICROS = 1_000_000
"""Costs are stored in millionths of a micro-unit, in which they are exact."""
# Longer than a completion may run unless its total_seconds are raised. Its cost is counted later,
# too; only its reservation ends.
COMPLETION_LEASE = timedelta(minutes=15)
# Keeps the statement short; called once a minute, it deletes over ten million a day.
_DELETE_BATCH = 10_000
# Only those that no window needs any more, by the database's clock.
_DELETE_OLD = """
DELETE FROM turn_counts WHERE (tenant, subject) IN (
    SELECT tenant, subject FROM turn_counts
    WHERE day < now() - interval '2 days' AND minute < now() - interval '2 days' LIMIT $1
    FOR UPDATE SKIP LOCKED
)
"""
# A month and what a backup or a slow process may need.
_DELETE_OLD_COSTS = """
DELETE FROM daily_costs WHERE (tenant, subject, day) IN (
    SELECT tenant, subject, day FROM daily_costs
    WHERE day < (now() AT TIME ZONE 'UTC')::date - 62 LIMIT $1 FOR UPDATE SKIP LOCKED
)
"""
# A turn that ended while no rule had a budget left its own.
_DELETE_RESERVATIONS = """
DELETE FROM cost_reservations WHERE (id, subject) IN (
    SELECT id, subject FROM cost_reservations WHERE expires_at < now() OR EXISTS (
        SELECT FROM turns WHERE turns.id = cost_reservations.id AND ended_sequence IS NOT NULL
    ) LIMIT $1 FOR UPDATE SKIP LOCKED
)
"""
_RELEASE = """
DELETE FROM cost_reservations WHERE tenant = $1 AND id = $2 AND expires_at < 'infinity'
"""
# In the order of the columns of TOKENS_USED.
_TOKENS_READ: Sequence[LimitName] = ("tokens_per_minute", "tokens_per_day")
# As of the start of the statement, which counts no tokens: a reply counts them when it ends.
TOKENS_USED = """, now(), ARRAY(
    SELECT ROW(
        subject,
        CASE WHEN minute >= date_trunc('minute', now()) THEN minute_tokens ELSE 0 END,
        CASE WHEN day >= date_trunc('day', now(), 'UTC') THEN day_tokens ELSE 0 END
    ) FROM turn_counts WHERE tenant = {tenant} AND subject = ANY ({subjects})
)"""
"""The columns that follow the result of count_turn."""
_COUNT = f"""
SELECT count_turn($1, NULL, $2, $3, $4, $5, $6)
{TOKENS_USED.format(tenant="$1", subjects="$2")}
"""
_COUNT_PRICED = f"""
SELECT count_priced_turn($1, NULL, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
{TOKENS_USED.format(tenant="$1", subjects="$2")}
"""
_READ = """
SELECT subject,
    CASE WHEN minute >= this_minute THEN minute_turns ELSE 0 END AS turns_per_minute,
    CASE WHEN minute >= this_minute THEN minute_tokens ELSE 0 END AS tokens_per_minute,
    CASE WHEN day >= this_day THEN day_tokens ELSE 0 END AS tokens_per_day,
    (
        SELECT count(*) FROM turns WHERE id = ANY (open_turns) AND ended_sequence IS NULL
    ) AS open_turns,
    now(), this_minute, this_day
FROM (
    SELECT date_trunc('minute', now()) AS this_minute, date_trunc('day', now(), 'UTC') AS this_day
) AS windows LEFT JOIN turn_counts ON tenant = $1 AND subject = ANY ($2)
"""
_READ_COSTS = """
SELECT subject,
    (
        SELECT coalesce(sum(cost), 0) FROM daily_costs
        WHERE tenant = $1 AND daily_costs.subject = subjects.subject AND day = today
    ) AS cost_per_day,
    (
        SELECT coalesce(sum(cost), 0) FROM daily_costs
        WHERE tenant = $1 AND daily_costs.subject = subjects.subject
            AND day >= date_trunc('month', today)
    ) AS cost_per_month,
    (
        SELECT coalesce(sum(cost), 0) FROM cost_reservations
        WHERE tenant = $1 AND cost_reservations.subject = subjects.subject AND expires_at > now()
    ) AS reserved
FROM unnest($2::text[]) AS subjects (subject), (
    SELECT (now() AT TIME ZONE 'UTC')::date AS today
) AS windows
"""


class LimitReached(Exception):
    """A limit does not admit the turn; `seconds` until it may.

    For a budget with what is `spent` and `reserved` of it, and the `cost` of the turn, in
    micro-units.
    """

    def __init__(
        self, limit: Limit, seconds: float, *, spent: int = 0, reserved: int = 0, cost: int = 0
    ) -> None:
        super().__init__(limit.name)
        self.limit, self.seconds = limit, seconds
        self.spent, self.reserved, self.cost = spent, reserved, cost


@dataclass(frozen=True, slots=True)
class CountedTurn:
    """A turn to be counted, and the limits that it must be within.

    It counts to all that its person does, to the API key and the model that a limit names, and to
    the tenant if a limit does. `cost` is what it may cost, if one of the limits is a budget.
    """

    tenant: str
    user: str
    limits: Sequence[Limit]
    cost: int | None = None

    @property
    def has_budget(self) -> bool:
        return any(limit.name in BUDGETS for limit in self.limits)

    @property
    def subjects(self) -> Sequence[str]:
        subjects = {limit.subject(self.user) for limit in self.limits}
        subjects.add(subject_of(self.user))
        if any(limit.per == "tenant" for limit in self.limits):
            subjects.add(subject_of(None))
        return sorted(subjects)

    @property
    def arguments(self) -> Sequence[object]:
        """Those of count_turn that follow the turn's id."""
        return [self.subjects, *(self._values(name) for name in _COUNTED)]

    def priced_arguments(self, id: UUID, lease: timedelta | None) -> Sequence[object]:
        """Those of count_priced_turn that follow the turn's id; None: until the turn ends."""
        budgets = [self._values(name, MICROS) for name in _BUDGETS]
        return [*self.arguments, *budgets, id, self.cost, lease]

    def _values(self, name: LimitName, factor: int = 1) -> Sequence[int | None]:
        """Of the limit with this name, by subject."""
        values = {
            each.subject(self.user): each.value * factor
            for each in self.limits
            if each.name == name
        }
        return [values.get(subject) for subject in self.subjects]

    def windows_of(self, counted: Sequence[Any]) -> "UsageWindows":
        """Those of tokens, from the result of count_turn and TOKENS_USED. Raises LimitReached."""
        refusal, now, used = counted
        self._check(refusal)
        by_limit = {
            (subject, name): number
            for subject, *numbers in used
            for name, number in zip(_TOKENS_READ, numbers, strict=True)
        }
        minute = now.replace(second=0, microsecond=0)
        return UsageWindows(by_limit, now, minute, minute.replace(hour=0, minute=0))

    def _check(self, refusal: str | None) -> None:
        if refusal is None:
            return
        index, name, seconds, *amounts = refusal.split()
        subject = self.subjects[int(index) - 1]
        [limit] = [
            each for each in self.limits if each.name == name and each.subject(self.user) == subject
        ]
        if name not in BUDGETS:
            raise LimitReached(limit, float(seconds))
        spent, reserved = (_micros(int(amount)) for amount in amounts)
        cost = _micros(self.cost or 0)
        raise LimitReached(limit, float(seconds), spent=spent, reserved=reserved, cost=cost)


@dataclass(frozen=True, slots=True)
class UsageWindows:
    """`used` by subject and limit; the starts of this minute and, in UTC, of this day.

    Costs, and what is `reserved` by subject, are in micro-units, rounded up.
    """

    used: Mapping[tuple[str, LimitName], int]
    now: datetime
    minute: datetime
    day: datetime
    reserved: Mapping[str, int] = field(default_factory=dict)


class TurnCounts:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def count_completion(self, id: UUID, counted: CountedTurn) -> UsageWindows:
        """Count a completion without a session as a turn. Raises LimitReached."""
        if counted.cost is None:
            statement, arguments = _COUNT, counted.arguments
        else:
            statement, arguments = _COUNT_PRICED, counted.priced_arguments(id, COMPLETION_LEASE)
        row = await self._pool.fetchrow(statement, counted.tenant, *arguments)
        assert row is not None
        return counted.windows_of([*row])

    async def release(self, principal: Principal, id: UUID) -> None:
        """End the reservation of a completion that did not run."""
        await self._pool.execute(_RELEASE, principal.tenant, id)

    async def read(self, principal: Principal, limits: Sequence[Limit]) -> UsageWindows:
        subjects = sorted({limit.subject(principal.user) for limit in limits})
        rows = await self._pool.fetch(_READ, principal.tenant, subjects)
        used = {
            (row["subject"], name): row[name]
            for row in rows
            if row["subject"] is not None
            for name in _COUNTED
        }
        reserved = {}
        if any(limit.name in BUDGETS for limit in limits):
            for row in await self._pool.fetch(_READ_COSTS, principal.tenant, subjects):
                used |= {(row["subject"], name): _micros(row[name]) for name in _BUDGETS}
                reserved[row["subject"]] = _micros(row["reserved"])
        now, minute, day = rows[0]["now"], rows[0]["this_minute"], rows[0]["this_day"]
        return UsageWindows(used, now, minute, day, reserved)

    async def delete_old(self) -> None:
        """Delete the rows of people who did nothing for two days, a bounded number per call.

        Costs are kept for two months.
        """
        await self._pool.execute(_DELETE_OLD, _DELETE_BATCH)
        await self._pool.execute(_DELETE_OLD_COSTS, _DELETE_BATCH)
        await self._pool.execute(_DELETE_RESERVATIONS, _DELETE_BATCH)


def _micros(cost: Decimal | int) -> int:
    return -(-int(cost) // MICROS)
