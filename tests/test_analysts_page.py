"""The questions of docs/analysts.md, answered over a simulated log and compared with the fold."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from parley_cli.log.dataset.manifest import load_manifest
from parley_cli.log.dataset.storage_location import storage_at
from parley_cli.log.generation.command import generate, simulated_events
from parley_cli.log.sql.query_session import QuerySession, query_session
from parley_events.cloudevents import encode
from parley_events.session import (
    CancelRequested,
    Event,
    ReplyCancelled,
    ReplyCompleted,
    ReplyFailed,
    ReplyRequested,
)
from parley_history.domain.batch import Batch, BatchState
from parley_history.domain.incoming_record import decode_incoming

PAGE = Path(__file__).parents[1] / "docs" / "analysts.md"
QUESTIONS = dict(re.findall(r"^### (\d+)\..*?```sql\n(.*?)```", PAGE.read_text(), re.M | re.S))
SESSIONS, SEED, DAYS = 150, 3, 9

Rows = Sequence[tuple[Any, ...]]


class Turn(NamedTuple):
    requested: Event
    end: Event
    cancelled_at: datetime | None

    @property
    def data(self) -> ReplyRequested:
        assert isinstance(self.requested.data, ReplyRequested)
        return self.requested.data


class Past(NamedTuple):
    """The read model of history's fold, and the turns."""

    model: Batch
    turns: Sequence[Turn]

    def assistant(self, session: UUID) -> str:
        return self.model.sessions[session].assistant_id

    def completed(self) -> Iterator[tuple[Turn, ReplyCompleted]]:
        for turn in self.turns:
            if isinstance(turn.end.data, ReplyCompleted):
                yield turn, turn.end.data


@pytest.fixture(scope="module")
def past() -> Past:
    batch, requested, ends = Batch(BatchState(), 100), [], dict[UUID, Event]()
    cancels: dict[UUID, datetime] = {}
    for offset, (event, _) in enumerate(simulated_events(SESSIONS, SEED, DAYS)):
        batch.add(decode_incoming(0, offset, encode(event)))
        match event.data:
            case ReplyRequested():
                requested.append(event)
            case ReplyCompleted(turn_id=turn) | ReplyFailed(turn_id=turn):
                ends[turn] = event
            case ReplyCancelled(turn_id=turn):
                ends[turn] = event
            case CancelRequested(turn_id=turn):
                cancels[turn] = event.time
    turns = [
        Turn(each, ends[each.data.turn_id], cancels.get(each.data.turn_id))
        for each in requested
        if isinstance(each.data, ReplyRequested)
    ]
    return Past(batch, turns)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuerySession]:
    folder = str(tmp_path_factory.mktemp("questions") / "export")
    generate(folder, SESSIONS, SEED, days=DAYS, content=False)
    storage = storage_at(folder)
    with query_session(storage, load_manifest(storage), None) as opened:
        yield opened


def first_tokens(past: Past) -> Rows:
    groups = defaultdict[tuple[str, date], list[int]](list)
    for turn, end in past.completed():
        groups[turn.data.model, turn.requested.time.date()].append(end.first_token_ms)
    return [(*key, len(each), median(each), quantile(each, 0.95)) for key, each in ordered(groups)]


def quantile(values: Sequence[float], part: float) -> float:
    """By linear interpolation, like quantile_cont."""
    ranked, at = sorted(values), part * (len(values) - 1)
    low = ranked[int(at)]
    high = ranked[min(int(at) + 1, len(ranked) - 1)]
    return low + (high - low) * (at - int(at))


def ordered(groups: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    return sorted(groups.items())


def abandoned(past: Past) -> Rows:
    turns = Counter(turn.requested.session_id for turn in past.turns)
    groups = defaultdict[str, list[int]](list)
    for session, count in turns.items():
        groups[past.assistant(session)].append(count == 1)
    return [(name, len(each), mean(each)) for name, each in ordered(groups)]


def costs(past: Past) -> Rows:
    groups = Counter[tuple[str, str, str]]()
    for row in past.model.usage.values():
        if row.currency is not None:
            groups[row.tenant, f"{row.day:%Y-%m}", row.currency] += row.cost
    return [(*key, cost / 1e12) for key, cost in ordered(groups)]


def returned(past: Past) -> Rows:
    weeks = defaultdict[tuple[str, str, str], set[tuple[int, int]]](set)
    for row in past.model.sessions.values():
        if row.assistant_id:
            calendar = row.created_at.isocalendar()
            key = (row.assistant_id, row.tenant, row.owner)
            weeks[key].add((calendar.year, calendar.week))
    groups = defaultdict[str, list[int]](list)
    for (assistant, _, _), each in weeks.items():
        groups[assistant].append(len(each) > 1)
    rows = [(name, len(each), mean(each)) for name, each in groups.items()]
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def tokens_by_hour(past: Past) -> Rows:
    hours = Counter[int]()
    for turn in past.turns:
        if usage := getattr(turn.end.data, "usage", None):
            hours[turn.requested.time.hour] += usage.prompt_tokens + usage.completion_tokens
    return ordered(hours)


def failures(past: Past) -> Rows:
    models = Counter(turn.data.model for turn in past.turns)
    failed = Counter(
        (turn.data.model, turn.end.data.code)
        for turn in past.turns
        if isinstance(turn.end.data, ReplyFailed)
    )
    return [(*key, count, count / models[key[0]]) for key, count in ordered(failed)]


def cancels(past: Past) -> Rows:
    groups = defaultdict[str, list[int]](list)
    for turn in past.turns:
        if isinstance(turn.end.data, ReplyCancelled):
            assert turn.cancelled_at
            waited = turn.cancelled_at - turn.requested.time
            groups[turn.data.model].append(round(waited.total_seconds() * 1000))
    return [(name, len(each), median(each)) for name, each in ordered(groups)]


def messages_per_session(past: Past) -> Rows:
    counts = Counter(row.session_id for row in past.model.messages.values())
    groups = defaultdict[str, list[int]](list)
    for session, count in counts.items():
        groups[past.assistant(session)].append(count)
    return [(name, len(each), sum(each) / len(each)) for name, each in ordered(groups)]


def regenerated(past: Past) -> Rows:
    replies = Counter(turn.data.parent_message_id for turn in past.turns)
    models = {turn.data.parent_message_id: turn.data.model for turn in reversed(past.turns)}
    groups = defaultdict[str, list[int]](list)
    for message, count in replies.items():
        groups[models[message]].append(count > 1)
    return [(name, len(each), sum(each)) for name, each in ordered(groups)]


def top_users(past: Past) -> Rows:
    tokens = Counter[tuple[str, str]]()
    for row in past.model.usage.values():
        tokens[row.tenant, row.owner] += row.prompt_tokens + row.completion_tokens
    tenants = defaultdict[str, list[tuple[int, str]]](list)
    for (tenant, owner), count in tokens.items():
        tenants[tenant].append((-count, owner))
    return [
        (tenant, owner, -count)
        for tenant, each in ordered(tenants)
        for count, owner in sorted(each)[:3]
    ]


ANSWERS: Sequence[Callable[[Past], Rows]] = (
    first_tokens,
    abandoned,
    costs,
    returned,
    tokens_by_hour,
    failures,
    cancels,
    messages_per_session,
    regenerated,
    top_users,
)


def test_the_page_has_ten_questions() -> None:
    assert [*QUESTIONS] == [str(number) for number in range(1, 11)]


@pytest.mark.parametrize("number", range(1, 11))
def test_the_answer_to_a_question_is_that_of_the_fold(
    number: int, session: QuerySession, past: Past
) -> None:
    table = session.run(QUESTIONS[str(number)]).read_all()
    found = [tuple(row.values()) for row in table.to_pylist()]
    expected = ANSWERS[number - 1](past)
    assert expected
    assert len(found) == len(expected)
    for row, wanted in zip(found, expected, strict=True):
        assert [*row] == [pytest.approx(v) if isinstance(v, float) else v for v in wanted]
