"""Adds what a reply used to the counts of limits, in the append that ends it."""

from collections.abc import Sequence
from typing import Literal

from parley_events.session import (
    CompletionServed,
    Event,
    ReplyEnded,
    ReplyFailed,
    SessionDeleted,
    SessionErased,
)
from parley_events.values import Price, Usage
from parley_session.storage.append.statement import Statement

UsageCounted = Literal["nothing", "tokens", "costs"]
"""What the limits of any person need of a reply; with its costs, its tokens as well."""

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
# A function in an expression that nothing reads would not be called.
_READ = ", (SELECT count(*) FROM usage_counted)"


def ended_expression(events: Sequence[Event], counted: UsageCounted) -> str:
    """The expression that ends a turn: its id, the sequence of its end, whether it is cancelled."""
    end = _end_of(events)
    if counted == "costs" and end is not None and _is_cost_unknown(events, end):
        return _ENDED_AT_UNKNOWN_COST
    return _ENDED


def add_counted_usage(
    statement: Statement,
    events: Sequence[Event],
    counted: UsageCounted,
    completion_subjects: Sequence[str],
) -> None:
    """That of a completion without a session counts to `completion_subjects`."""
    if counted == "nothing":
        return
    served = events[0].data
    if isinstance(served, CompletionServed):
        if not completion_subjects:
            return
        _add_completion(statement, events[0], served, counted, completion_subjects)
    elif end := _end_of(events):
        if counted == "tokens" and end.usage is None:
            return
        _add_reply(statement, events, end, counted)
    else:
        return
    statement.read(_READ)


def cost_of(usage: Usage | None, price: Price | None) -> int:
    """In millionths of a micro-unit, in which it is exact; 0 without a price."""
    if usage is None or price is None:
        return 0
    return usage.prompt_tokens * price.prompt + usage.completion_tokens * price.completion


def _add_reply(
    statement: Statement, events: Sequence[Event], end: ReplyEnded, counted: UsageCounted
) -> None:
    time = events[-1].time
    if counted == "tokens":
        statement.add(_TOKENS_COUNTED, _tokens(end.usage))
    elif _is_cost_unknown(events, end):
        statement.add(_REPLY_COUNTED_AT_UNKNOWN_COST, end.turn_id, time)
    else:
        cost = cost_of(end.usage, end.price)
        statement.add(_REPLY_COUNTED, _tokens(end.usage), end.turn_id, cost, time)


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


def _end_of(events: Sequence[Event]) -> ReplyEnded | None:
    ends = (event.data for event in events if isinstance(event.data, ReplyEnded))
    return next(ends, None)


def _is_cost_unknown(events: Sequence[Event], end: ReplyEnded) -> bool:
    """Whether the turn was ended without its runner, which alone knows what it used."""
    if end.usage is not None:
        return False
    is_interrupted = isinstance(end, ReplyFailed) and end.code == "interrupted"
    return is_interrupted or isinstance(events[-1].data, SessionDeleted | SessionErased)


def _tokens(usage: Usage | None) -> int:
    return usage.prompt_tokens + usage.completion_tokens if usage else 0
