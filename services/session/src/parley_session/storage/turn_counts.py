"""Counts of turns and tokens in Postgres: what counts towards the limits of a person (ADR 49)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from parley_core.auth.principal import Principal
from parley_core.limits.rules import Limit, LimitName, subject_of
from parley_core.storage.postgres_pool import Pool

# In the order of the parameters of count_turn.
_COUNTED: Sequence[LimitName] = (
    "turns_per_minute",
    "open_turns",
    "tokens_per_minute",
    "tokens_per_day",
)
# Keeps the statement short; called once a minute, it deletes over ten million a day.
_DELETE_BATCH = 10_000
# Only those that no window needs any more, by the database's clock.
_DELETE_OLD = """
DELETE FROM turn_counts WHERE (tenant, subject) IN (
    SELECT tenant, subject FROM turn_counts
    WHERE day < now() - interval '2 days' AND minute < now() - interval '2 days' LIMIT $1
)
"""
_COUNT = "SELECT count_turn($1, NULL, $2, $3, $4, $5, $6)"
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


class LimitReached(Exception):
    """A limit does not admit the turn; `seconds` until it may."""

    def __init__(self, limit: Limit, seconds: float) -> None:
        super().__init__(limit.name)
        self.limit, self.seconds = limit, seconds


@dataclass(frozen=True, slots=True)
class CountedTurn:
    """A turn to be counted, and the limits that it must be within.

    It counts to all that its person does, to the API key and the model that a limit names, and to
    the tenant if a limit does.
    """

    tenant: str
    user: str
    limits: Sequence[Limit]

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
        subjects = self.subjects
        values = {(each.name, each.subject(self.user)): each.value for each in self.limits}
        columns = [[values.get((name, subject)) for subject in subjects] for name in _COUNTED]
        return [subjects, *columns]

    def check(self, refusal: str | None) -> None:
        """Raises LimitReached for a result of count_turn that names a limit."""
        if refusal is None:
            return
        place, name, seconds = refusal.split()
        subject = self.subjects[int(place) - 1]
        [limit] = [
            each for each in self.limits if each.name == name and each.subject(self.user) == subject
        ]
        raise LimitReached(limit, float(seconds))


@dataclass(frozen=True, slots=True)
class Windows:
    """`used` by subject and limit; the starts of this minute and, in UTC, of this day."""

    used: Mapping[tuple[str, LimitName], int]
    now: datetime
    minute: datetime
    day: datetime


class TurnCounts:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def count_completion(self, counted: CountedTurn) -> None:
        """Count a completion without a session as a turn. Raises LimitReached."""
        counted.check(await self._pool.fetchval(_COUNT, counted.tenant, *counted.arguments))

    async def read(self, principal: Principal, limits: Iterable[Limit]) -> Windows:
        subjects = sorted({limit.subject(principal.user) for limit in limits})
        rows = await self._pool.fetch(_READ, principal.tenant, subjects)
        used = {
            (row["subject"], name): row[name]
            for row in rows
            if row["subject"] is not None
            for name in _COUNTED
        }
        return Windows(used, rows[0]["now"], rows[0]["this_minute"], rows[0]["this_day"])

    async def delete_old(self) -> None:
        """Delete the rows of people who did nothing for two days, a bounded number per call."""
        await self._pool.execute(_DELETE_OLD, _DELETE_BATCH)
