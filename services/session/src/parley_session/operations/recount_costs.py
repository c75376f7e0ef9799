"""`recount-costs`: compares what was counted towards budgets with the events, and corrects it.

It reads one snapshot, in which an event and its count are both or neither, and corrects by the
difference: replies that end meanwhile are counted as well.
"""

import argparse
import asyncio
import sys

import asyncpg

from parley_core.runtime.settings import load
from parley_core.storage.migrations import require_database_migrated, run_in_connection
from parley_session.operations.operator_acts import operator_act
from parley_session.settings import RecountCostsSettings
from parley_session.storage.audit.audit_store import append_records
from parley_session.storage.database import Connection
from parley_session.storage.migrations import MIGRATIONS

# Of this month: no budget needs an older one. Replies that ended at an unknown cost were counted at
# what was reserved for them.
_DIFFERENCES = """
WITH ended AS (
    SELECT sessions.tenant, turns.subjects, events.time, events.data, turns.unknown_cost
    FROM turns
        JOIN events ON events.session_id = turns.session_id AND sequence = ended_sequence
        JOIN sessions ON sessions.id = turns.session_id
    WHERE turns.subjects IS NOT NULL
    UNION ALL
    SELECT sessions.tenant, sessions.completion_subjects, events.time, events.data, NULL
    FROM sessions JOIN events ON events.session_id = sessions.id AND sequence = 1
    WHERE sessions.completion_subjects IS NOT NULL
    UNION ALL ( -- titles and summaries
        SELECT DISTINCT ON (events.session_id, sequence)
            sessions.tenant, turns.subjects, events.time, events.data, NULL
        FROM events JOIN sessions ON sessions.id = events.session_id
            JOIN turns ON turns.session_id = sessions.id AND requested_sequence < sequence
        WHERE type IN ('parley.session.session_renamed.v1', 'parley.session.context_compacted.v1')
            AND data -> 'usage' IS NOT NULL AND events.time >= date_trunc('month', now(), 'UTC')
        ORDER BY events.session_id, sequence, requested_sequence DESC
    )
), recounted AS (
    SELECT tenant, subject, (time AT TIME ZONE 'UTC')::date AS day, sum(coalesce(
        unknown_cost,
        (data #>> '{usage,prompt_tokens}')::numeric * (data #>> '{price,prompt}')::numeric
            + (data #>> '{usage,completion_tokens}')::numeric
            * (data #>> '{price,completion}')::numeric,
        0
    )) AS cost
    FROM ended, unnest(subjects) AS subject
    WHERE time >= date_trunc('month', now(), 'UTC')
    GROUP BY 1, 2, 3
), counted AS (
    SELECT tenant, subject, day, cost FROM daily_costs
    WHERE day >= (date_trunc('month', now(), 'UTC') AT TIME ZONE 'UTC')::date
)
SELECT tenant, subject, day, coalesce(counted.cost, 0) AS counted,
    coalesce(recounted.cost, 0) AS recounted
FROM recounted FULL JOIN counted USING (tenant, subject, day)
WHERE coalesce(counted.cost, 0) <> coalesce(recounted.cost, 0)
ORDER BY tenant, subject, day
"""
_CORRECT = """
INSERT INTO daily_costs AS counted (tenant, subject, day, cost) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, subject, day) DO UPDATE SET cost = counted.cost + excluded.cost
"""
# Two recounts at once would correct the same differences twice. The key is arbitrary, and locked
# until the end of the connection.
_LOCK, _LOCK_KEY = "SELECT pg_try_advisory_lock($1)", 0x7265636F756E74


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    added = commands.add_parser(
        "recount-costs", help="compare what counts towards budgets with the events, correct it"
    )
    added.add_argument("--dry-run", action="store_true", help="only report the differences")


def run(arguments: argparse.Namespace) -> int:
    """Return the exit code: 1 for differences that were only reported, or while another process
    corrects them. Raises InvalidSettings.
    """
    url = load(RecountCostsSettings).database.url
    require_database_migrated(url, MIGRATIONS)

    async def recount(connection: Connection) -> int:
        return await recount_costs(connection, dry_run=arguments.dry_run)

    return asyncio.run(run_in_connection(url, recount))


async def recount_costs(connection: Connection, *, dry_run: bool) -> int:
    if not dry_run and not await connection.fetchval(_LOCK, _LOCK_KEY):
        print("Another process corrects the sums. Wait until it has ended.", file=sys.stderr)
        return 1
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        differences = await connection.fetch(_DIFFERENCES)
    for each in differences:
        print(f"{_name(each)}: counted {each['counted']}, by the events {each['recounted']}")
    print(f"{len(differences)} differences, in millionths of a micro-unit")
    if dry_run:
        return 1 if differences else 0
    if differences:
        await append_records(connection, [operator_act("recount-costs", "costs.recounted")])
    for each in differences:
        difference = each["recounted"] - each["counted"]
        # One commit for each: a reply that ends locks several rows, in another order.
        await connection.execute(_CORRECT, each["tenant"], each["subject"], each["day"], difference)
    return 0


def _name(row: asyncpg.Record) -> str:
    return f"{row['tenant']} {row['subject']} {row['day']}"
