"""Turn load in Postgres: the open turns of each person, and the capacity of the live runners."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from parley_core.storage.postgres_pool import Pool


class Person(NamedTuple):
    tenant: str
    user: str


@dataclass(frozen=True, slots=True)
class OpenTurns:
    """`total_age_seconds` is the sum of the times since the turns were opened."""

    count: int = 0
    total_age_seconds: float = 0


@dataclass(frozen=True, slots=True)
class TurnLoad:
    """`capacity` is the number of turns that all live runners run at once."""

    capacity: int
    by_person: Mapping[Person, OpenTurns]
    everyone: OpenTurns


class TurnLoadReader:
    """A runner lives for `lease_seconds` after its last heartbeat, by the database's clock."""

    def __init__(self, pool: Pool, lease_seconds: float) -> None:
        self._pool, self._lease_seconds = pool, lease_seconds

    async def read(self, excluded: Sequence[UUID]) -> TurnLoad:
        """Count the open turns, without those `excluded`.

        Leaves out sessions without a key: their turns, recovered from the log, never run.
        """
        rows = await self._pool.fetch(
            """
            SELECT capacity, tenant, owner, turns, total_age FROM (
                SELECT coalesce(sum(capacity), 0) AS capacity FROM runners
                WHERE seen_at > now() - make_interval(secs => $1)
            ) AS live LEFT JOIN (
                SELECT tenant, owner, count(*) AS turns,
                    sum(extract(epoch FROM now() - opened_at))::float8 AS total_age
                FROM turns JOIN sessions ON sessions.id = turns.session_id
                WHERE ended_sequence IS NULL AND wrapped_key IS NOT NULL
                    AND turns.id <> ALL ($2)
                GROUP BY tenant, owner
            ) AS open ON true
            """,
            self._lease_seconds,
            excluded,
        )
        by_person = {
            Person(row["tenant"], row["owner"]): OpenTurns(row["turns"], row["total_age"])
            for row in rows
            if row["turns"]
        }
        everyone = OpenTurns(
            sum(turns.count for turns in by_person.values()),
            sum(turns.total_age_seconds for turns in by_person.values()),
        )
        return TurnLoad(rows[0]["capacity"], by_person, everyone)
