"""Adds what a reply used to the counts of limits, in the append that ends it."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from parley_core.auth.principal import service_principal
from parley_events.session import (
    CompletionServed,
    ContextCompacted,
    Event,
    ReplyEnded,
    SessionRenamed,
)
from parley_events.values import Price, Usage
from parley_session.storage.append.statement import Statement

UsageCounted = Literal["nothing", "tokens", "costs"]
"""What the limits of any person need of a reply; with its costs, its tokens as well."""

# In whose name runners end turns.
_RUNNER = service_principal("inference")

_ENDED = """, ended AS (
    UPDATE turns SET ended_sequence = {1}, cancel_requested = cancel_requested OR {2}
    FROM advanced WHERE turns.id = {0}
    RETURNING subjects
)"""
# What it may have cost, if a runner had it.
_ENDED_AT_UNKNOWN_COST = """, ended AS (
    UPDATE turns SET ended_sequence = {1}, cancel_requested = cancel_requested OR {2},
        unknown_cost = CASE WHEN runner IS NOT NULL THEN (
            SELECT max(cost) FROM cost_reservations WHERE cost_reservations.id = turns.id
        ) END
    FROM advanced WHERE turns.id = {0}
    RETURNING subjects, coalesce(unknown_cost, 0) AS unknown_cost
)"""
_TOKENS_COUNTED = """, usage_counted AS (
    SELECT count_tokens(tenant, subjects, {}) FROM ended, sessions
    WHERE sessions.id = $1 AND subjects IS NOT NULL
)"""
_COMPLETION_TOKENS_COUNTED = """, usage_counted AS (
    SELECT count_tokens($9, {}, {}) FROM advanced
)"""
_REPLY_COUNTED = """, usage_counted AS (
    SELECT count_reply(tenant, subjects, {0}, {1}, {2}, {3}) FROM ended, sessions
    WHERE sessions.id = $1 AND subjects IS NOT NULL
)"""
_REPLY_COUNTED_AT_UNKNOWN_COST = """, usage_counted AS (
    SELECT count_reply(tenant, subjects, 0, {0}, unknown_cost, {1}) FROM ended, sessions
    WHERE sessions.id = $1 AND subjects IS NOT NULL
)"""
_COMPLETION_COUNTED = """, usage_counted AS (
    SELECT count_reply($9, {}, {}, {}, {}, {}) FROM advanced
)"""
# To the subjects of the turn after which it was made.
_TITLE_OR_SUMMARY_COUNTED = """, usage_counted AS (
    SELECT count_reply(tenant, turns.subjects, 0, NULL, {}, {}) FROM advanced, sessions, turns
    WHERE sessions.id = $1 AND turns.id = {} AND turns.subjects IS NOT NULL
)"""
# A function in an expression that nothing reads would not be called.
_READ = ", (SELECT count(*) FROM usage_counted)"


def ended_expression(events: Sequence[Event], counted: UsageCounted) -> str:
    """The expression that ends a turn: its id, the sequence of its end, whether it is cancelled."""
    if counted == "costs" and any(map(_is_cost_unknown, events)):
        return _ENDED_AT_UNKNOWN_COST
    return _ENDED


def add_counted_usage(
    statement: Statement,
    events: Sequence[Event],
    counted: UsageCounted,
    *,
    completion_subjects: Sequence[str],
    newest_turn_id: UUID | None,
) -> None:
    """That of a completion without a session counts to `completion_subjects`.

    Of titles and summaries only the cost counts, to the subjects of the newest turn.
    """
    if counted == "nothing":
        return
    for event in events:
        match event.data:
            case CompletionServed() as served if completion_subjects:
                _add_completion(statement, event, served, counted, completion_subjects)
            case ReplyEnded() as end if counted == "costs" or end.usage:
                _add_reply(statement, event, end, counted)
            case (
                SessionRenamed(usage=Usage() as usage, price=price)
                | ContextCompacted(usage=Usage() as usage, price=price)
            ) if counted == "costs" and newest_turn_id:
                cost = cost_of(usage, price)
                statement.add(_TITLE_OR_SUMMARY_COUNTED, cost, event.time, newest_turn_id)
            case _:
                continue
        statement.read(_READ)
        # An append has one of them at most.
        return


def cost_of(usage: Usage | None, price: Price | None) -> int:
    """In millionths of a micro-unit, in which it is exact; 0 without a price."""
    if usage is None or price is None:
        return 0
    return usage.prompt_tokens * price.prompt + usage.completion_tokens * price.completion


def _add_reply(statement: Statement, event: Event, end: ReplyEnded, counted: UsageCounted) -> None:
    if counted == "tokens":
        statement.add(_TOKENS_COUNTED, _tokens(end.usage))
    elif _is_cost_unknown(event):
        statement.add(_REPLY_COUNTED_AT_UNKNOWN_COST, end.turn_id, event.time)
    else:
        cost = cost_of(end.usage, end.price)
        statement.add(_REPLY_COUNTED, _tokens(end.usage), end.turn_id, cost, event.time)


def _add_completion(
    statement: Statement,
    event: Event,
    served: CompletionServed,
    counted: UsageCounted,
    subjects: Sequence[str],
) -> None:
    tokens = _tokens(served.usage)
    if counted == "tokens":
        statement.add(_COMPLETION_TOKENS_COUNTED, subjects, tokens)
        return
    cost = cost_of(served.usage, served.price)
    statement.add(_COMPLETION_COUNTED, subjects, tokens, event.session_id, cost, event.time)


def _is_cost_unknown(event: Event) -> bool:
    """Whether a turn ended without its usage and not by its runner, which reports what it used.

    Without the usage, the runner reports that nothing was used.
    """
    match event.data:
        case ReplyEnded(usage=None, actor=actor):
            return (actor.tenant, actor.user) != (_RUNNER.tenant, _RUNNER.user)
        case _:
            return False


def _tokens(usage: Usage | None) -> int:
    return usage.prompt_tokens + usage.completion_tokens if usage else 0
