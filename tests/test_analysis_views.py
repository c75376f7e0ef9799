"""The views of `parley log sql` say what the fold of the history service says."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import asdict

from parley_cli.log.dataset.manifest import load_manifest
from parley_cli.log.dataset.storage_location import storage_at
from parley_cli.log.generation.command import generate, simulated_events
from parley_cli.log.sql.as_of import AsOf
from parley_cli.log.sql.query_session import query_session
from parley_events.cloudevents import encode
from parley_events.session import DATA_BY_TYPE, Event
from parley_history.domain.batch import Batch, BatchState
from parley_history.domain.incoming_record import decode_incoming

SESSIONS, SEED, DAYS = 120, 8, 3


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "export"
    generate(str(folder), SESSIONS, SEED, days=DAYS, content=False)
    return folder


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return [each.event for each in simulated_events(SESSIONS, SEED, DAYS)]


def folded(events: Iterable[Event]) -> Batch:
    """The read model after the events, by history's own projection."""
    batch = Batch(BatchState(), max_deferred=1_000)
    for offset, event in enumerate(events):
        batch.add(decode_incoming(0, offset, encode(event)))
    assert not batch.dead_letters
    return batch


def rows(export: Path, query: str, as_of: AsOf | None = None) -> list[dict[str, Any]]:
    storage = storage_at(str(export))
    with query_session(storage, load_manifest(storage), as_of) as session:
        found: list[dict[str, Any]] = session.run(query).read_all().to_pylist()
        return found


def expected_rows(structs: Iterable[msgspec.Struct], **renamed: str) -> list[Mapping[str, Any]]:
    """The fields of rows of the read model as SQL has them."""
    return [
        {renamed.get(name, name): _sql_value(value) for name, value in asdict(each).items()}
        for each in structs
    ]


def _sql_value(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes):
        return msgspec.json.decode(msgspec.json.encode(value), type=str).translate(
            str.maketrans("+/", "-_")
        )
    return value


def assert_views_equal_the_fold(
    export: Path, events: Iterable[Event], as_of: AsOf | None = None
) -> None:
    batch = folded(events)
    queries = {
        "sessions": ("FROM sessions ORDER BY id", expected_rows(batch.sessions.values())),
        "messages": (
            "FROM messages ORDER BY session_id, version",
            expected_rows(batch.messages.values()),
        ),
        "usage": ("FROM usage", expected_rows(batch.usage.values())),
    }
    for name, (query, expected) in queries.items():
        found = rows(export, query, as_of)
        columns = expected[0].keys()
        found = [{column: row[column] for column in columns} for row in found]
        for row in found:
            if "cost" in row:
                row["cost"] = int(row["cost"])
        assert sorted(found, key=_row_key) == sorted(expected, key=_row_key), name


def _row_key(row: Mapping[str, Any]) -> str:
    return " ".join(
        str(row.get(name)) for name in ("session_id", "id", "version", "day", "model", "currency")
    )


def test_sessions_messages_and_usage_are_those_of_the_fold(
    export: Path, events: list[Event]
) -> None:
    assert len({event.type for event in events}) == len(DATA_BY_TYPE)
    assert_views_equal_the_fold(export, events)


@pytest.mark.parametrize("part", [0.3, 0.8])
def test_views_as_of_a_time_are_those_of_the_fold_up_to_that_time(
    export: Path, events: list[Event], part: float
) -> None:
    time = events[int(len(events) * part)].time
    assert_views_equal_the_fold(
        export, [event for event in events if event.time <= time], AsOf(time=time)
    )


def test_views_as_of_positions_are_those_of_the_fold_up_to_those_positions(
    export: Path, events: list[Event]
) -> None:
    [ends] = rows(
        export,
        "SELECT list((log_partition, log_offset)) AS ends FROM "
        "(SELECT log_partition, max(log_offset) // 2 AS log_offset FROM events GROUP BY ALL)",
    )
    positions = {each["log_partition"]: each["log_offset"] for each in map(_pair, ends["ends"])}
    chosen = {
        row["id"]
        for row in rows(export, "SELECT id, log_partition, log_offset FROM events")
        if row["log_offset"] < positions[row["log_partition"]]
    }
    before = [event for event in events if str(event.id) in chosen]
    assert 0 < len(before) < len(events)
    assert_views_equal_the_fold(export, before, AsOf(positions=positions))


def _pair(value: Any) -> dict[str, Any]:
    partition, offset = value.values()
    return {"log_partition": partition, "log_offset": offset}


def test_turns_have_one_row_per_turn_and_its_outcome(export: Path, events: list[Event]) -> None:
    counts = {
        row["status"]: row["count"]
        for row in rows(export, "SELECT status, count(*) AS count FROM turns GROUP BY ALL")
    }
    names = [event.type.split(".")[2] for event in events]
    assert counts == {
        status: names.count(f"reply_{status}") for status in ("completed", "failed", "cancelled")
    }


def test_the_same_seed_writes_the_same_bytes(export: Path, tmp_path: Path) -> None:
    again, few, others = (tmp_path / name for name in ("again", "few", "others"))
    generate(str(again), SESSIONS, SEED, days=DAYS, content=False)
    generate(str(few), 5, SEED, days=DAYS, content=False)
    generate(str(others), 5, SEED + 1, days=DAYS, content=False)

    def contents(folder: Path) -> dict[str, bytes]:
        files = (path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    assert contents(again) == contents(export)
    assert contents(others) != contents(few)


def test_generated_content_is_text_in_the_views(tmp_path: Path) -> None:
    folder = tmp_path / "content"
    generate(str(folder), 20, SEED, days=2, content=True)
    texts = rows(folder, "SELECT text FROM messages WHERE role = 'user'")
    assert texts
    assert all(row["text"] for row in texts)
