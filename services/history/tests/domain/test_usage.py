"""The usage that each event adds."""

import dataclasses
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from history_testing.completions import Completion
from history_testing.read_model import folded
from history_testing.stories import PRICE, USED, Story, chat

from parley_events.cloudevents import decode
from parley_events.golden import golden_record
from parley_events.values import Price, Usage
from parley_history.domain.fold import evolve
from parley_history.domain.usage import UsageRow, usage_of

MIDNIGHT = datetime(2026, 11, 25, tzinfo=UTC)


def golden(name: str) -> Any:
    return decode(golden_record(f"parley.session.{name}.v1"))


def added(name: str) -> UsageRow | None:
    session, _ = evolve(None, golden("session_started"))
    return usage_of(session, golden(name))


def rows_of(story: Story) -> list[UsageRow]:
    return [*folded(story).usage.values()]


@pytest.mark.parametrize(
    ("name", "model", "replies", "prompt", "completion"),
    [
        ("reply_completed", "demo", 1, 12, 34),
        ("reply_failed", "demo", 1, 12, 34),
        ("reply_cancelled", "demo", 1, 12, 34),
        ("session_renamed", "demo-model", 0, 40, 4),
        ("context_compacted", "demo-model", 0, 2000, 120),
    ],
)
def test_replies_titles_and_summaries_cost_tokens(
    name: str, model: Any, replies: Any, prompt: Any, completion: Any
) -> None:
    assert added(name) == UsageRow(
        session_id=golden(name).session_id,
        day=date(2026, 11, 24),
        model=model,
        currency="USD",
        tenant="default",
        owner="ada",
        assistant_id="helper",
        replies=replies,
        prompt_tokens=prompt,
        completion_tokens=completion,
        estimated_tokens=0,
        cost=prompt * 150_000 + completion * 600_000,
    )


def test_a_completion_without_a_conversation_costs_tokens_and_has_no_assistant() -> None:
    event = golden("completion_served")
    session, _ = evolve(None, event)
    row = usage_of(session, event)
    assert row is not None
    assert (row.session_id, row.owner, row.assistant_id) == (event.session_id, "ada", None)
    assert (row.model, row.replies, row.prompt_tokens, row.completion_tokens) == (
        *("demo-model", 1),
        *(40, 4),
    )


@pytest.mark.parametrize("name", ["message_submitted", "cancel_requested", "session_erased"])
def test_events_without_a_model_call_have_no_usage(name: str) -> None:
    assert added(name) is None


def test_a_reply_without_usage_or_a_title_that_a_person_gave_is_not_counted() -> None:
    story = Story()
    story.submit("question")
    story.reply("answer", usage=None)
    story.rename("Words")
    assert rows_of(story) == []


def test_estimated_tokens_are_counted_separately() -> None:
    story = chat(1)
    story.submit("question")
    story.cancel()
    [priced] = [row for row in rows_of(story) if row.currency]
    [unpriced] = [row for row in rows_of(story) if not row.currency]
    assert (priced.replies, priced.estimated_tokens) == (1, 0)
    assert (unpriced.replies, unpriced.estimated_tokens, unpriced.cost) == (1, 8, 0)


def test_a_session_has_a_row_for_each_day_model_and_currency() -> None:
    story = Story()
    for model, price in (("a", PRICE), ("b", PRICE), ("a", PRICE), ("a", PRICE_IN_EUROS)):
        story.submit("question")
        story.reply("answer", model=model, price=price)
    rows = {(row.model, row.currency): row for row in rows_of(story)}
    assert {key: row.replies for key, row in rows.items()} == {
        ("a", "USD"): 2,
        ("b", "USD"): 1,
        ("a", "EUR"): 1,
    }
    assert rows["a", "USD"].prompt_tokens == 2 * USED.prompt_tokens
    assert rows["a", "EUR"].cost == 7 * 1 + 3 * 2


PRICE_IN_EUROS = Price(currency="EUR", prompt=1, completion=2)


def test_a_day_ends_at_midnight_utc_whatever_the_time_zone_of_the_event() -> None:
    last, first = MIDNIGHT - timedelta(microseconds=1), MIDNIGHT
    days = [rows_of(Completion(starts_at=at))[0].day for at in (last, first)]
    assert days == [date(2026, 11, 24), date(2026, 11, 25)]
    record = Completion(starts_at=first).records[0]
    headers = [
        (n, b"2026-11-25T01:59:59.999999+02:00" if n == "ce_time" else v) for n, v in record.headers
    ]
    event = decode(dataclasses.replace(record, headers=headers))
    session, _ = evolve(None, event)
    row = usage_of(session, event)
    assert row is not None
    assert row.day == date(2026, 11, 24)


def test_a_cost_is_exact_however_large() -> None:
    most = Usage(prompt_tokens=2**31 - 1, completion_tokens=2**31 - 1)
    price = Price(currency="USD", prompt=2**53, completion=1)
    [row] = rows_of(Completion(usage=most, price=price))
    assert row.cost == (2**31 - 1) * (2**53 + 1)
