"""Conditions of an append, besides the session's version, that hold at its commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never
from uuid import UUID

from parley_session.storage.turn_counts import TOKENS_USED, CountedTurn

# The rows are locked until the commit: a claim or a heartbeat is either seen here, or waits. The
# session comes first, as in every append, so that no two statements wait for each other.
_LOCKED_TURN = """session AS (
    SELECT id FROM sessions WHERE id = $1 AND version = $9 FOR UPDATE
), turn AS (
    SELECT turns.id, runner FROM turns, session
    WHERE turns.id = $10 AND ended_sequence IS NULL AND {} FOR UPDATE OF turns
), """
_UNCLAIMED = _LOCKED_TURN.format("runner IS NULL")
_UNCLAIMED_HOLDS = " AND EXISTS (SELECT FROM turn)"
# As above, the session comes first: only a turn that is then appended is counted.
_WITHIN_LIMITS = """session AS (
    SELECT id FROM sessions WHERE id = $1 AND version = $9 FOR UPDATE
), counted AS (
    SELECT count_turn($10, $11, $12, $13, $14, $15, $16) AS refusal FROM session
), """
_WITHIN_BUDGETS = _WITHIN_LIMITS.replace(
    "count_turn($10, $11, $12, $13, $14, $15, $16)",
    "count_priced_turn($10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)",
)
_WITHIN_LIMITS_HOLDS = " AND EXISTS (SELECT FROM counted WHERE refusal IS NULL)"
_COUNTED = ", (SELECT refusal FROM counted)" + TOKENS_USED.format(tenant="$10", subjects="$12")
# The insert also locks out the first heartbeat of a runner, for which there is no row yet.
_ABANDONED = (
    _LOCKED_TURN.format("coalesce(claimed_at, opened_at) < now() - make_interval(secs => $11)")
    + """heartbeat AS (
    INSERT INTO runners (id, seen_at, turns)
    SELECT runner, '-infinity', ARRAY[]::uuid[] FROM turn WHERE runner IS NOT NULL
    ON CONFLICT (id) DO UPDATE SET turns = runners.turns
    RETURNING seen_at, turns
), """
)
_ABANDONED_HOLDS = """ AND EXISTS (SELECT FROM turn) AND NOT EXISTS (
        SELECT FROM heartbeat
        WHERE seen_at > now() - make_interval(secs => $11) AND $10 = ANY (turns)
    )"""


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """Append only if no runner has claimed the turn at the commit."""

    turn_id: UUID


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Append only if the turn has had no claim and no heartbeat for a lease at the commit."""

    turn_id: UUID
    lease_seconds: float


@dataclass(frozen=True, slots=True)
class WithinLimits:
    """Append only if no limit of the person is reached, and count the turn that this opens."""

    turn_id: UUID
    counted: CountedTurn


AppendCondition = Unclaimed | Abandoned | WithinLimits


@dataclass(frozen=True, slots=True)
class Check:
    """A condition in SQL: expressions before the compare-and-set, and what they must have found.

    `values` are the parameters from $10. `columns` are added to the result.
    """

    expressions: str = ""
    condition: str = ""
    values: Sequence[object] = ()
    columns: str = ""


def check_of(condition: AppendCondition | None) -> Check:
    match condition:
        case Unclaimed(turn_id):
            return Check(_UNCLAIMED, _UNCLAIMED_HOLDS, [turn_id])
        case Abandoned(turn_id, lease_seconds):
            return Check(_ABANDONED, _ABANDONED_HOLDS, [turn_id, lease_seconds])
        case WithinLimits(turn_id, counted):
            if counted.cost is None:
                expressions, arguments = _WITHIN_LIMITS, counted.arguments
            else:
                expressions, arguments = _WITHIN_BUDGETS, counted.priced_arguments(turn_id, None)
            values = [counted.tenant, turn_id, *arguments]
            return Check(expressions, _WITHIN_LIMITS_HOLDS, values, _COUNTED)
        case None:
            return Check()
        case other:
            assert_never(other)
