"""The `dead-letters` command: its output and exit codes."""

import asyncio
import json
from typing import Any

import pytest
from history_testing.poison import project_with_poison
from history_testing.read_model import PARTITION, ReadModelTables, project
from history_testing.stories import chat

from parley_events.cloudevents import Record
from parley_history.__main__ import main
from parley_history.domain.batch import ALREADY_PARKED
from parley_history.projection.active_read_model import ActiveReadModel


async def run(
    tables: ReadModelTables,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *command: Any,
) -> Any:
    """Return the exit code, stdout and stderr."""
    monkeypatch.setenv("PARLEY_HISTORY_DATABASE_URL", tables.runtime_dsn)
    monkeypatch.setattr("sys.argv", ["parley_history", "dead-letters", *command])
    code: Any
    try:
        code = await asyncio.to_thread(main)
    except SystemExit as exit:
        code = exit.code
    return code, *capsys.readouterr()


async def test_the_list_has_a_line_per_dead_letter_and_the_counts(
    read_model: ActiveReadModel,
    tables: ReadModelTables,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    story, nobodys = chat(1), Record(b"\x1b]", [("ce_type", b"a\x1b[31mb")], b"")
    await project_with_poison(read_model, story, 2)
    await project(read_model, [nobodys])

    code, printed, _ = await run(tables, monkeypatch, capsys, "list")
    first, second, third, counts = printed.splitlines()
    assert code == 0
    event = story.events[2]
    assert first.startswith(f"{PARTITION}:2  {story.id}  20")
    assert f"  3 {event.type} {event.id}  invalid data for its type" in first
    assert second.endswith(ALREADY_PARKED)
    assert f"{PARTITION}:4  no session" in third
    assert "a\\x1b[31mb" in third
    assert counts == "dead letters: 3, parked sessions: 1"

    code, printed, _ = await run(tables, monkeypatch, capsys, "list", "--limit", "1", "--json")
    document = json.loads(printed)
    assert (code, document["total"], document["parked_sessions"]) == (0, 3, 1)
    [letter] = document["dead_letters"]
    assert (letter["session_id"], letter["sequence"]) == (str(story.id), "3")
    _, printed, _ = await run(tables, monkeypatch, capsys, "list", "--limit", "1")
    assert printed.splitlines()[-1] == "dead letters: 3 (1 shown), parked sessions: 1"


async def test_a_record_is_shown_completely_and_without_terminal_controls(
    read_model: ActiveReadModel,
    tables: ReadModelTables,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    story = chat(1)
    await project_with_poison(read_model, story, 1)
    code, printed, _ = await run(tables, monkeypatch, capsys, "show", f"{PARTITION}:1")
    lines = printed.splitlines()
    assert code == 0
    assert f"session: {story.id}" in lines
    assert f"header ce_id: {story.events[1].id}" in lines
    assert lines[-1] == 'value: {"content": \\x1b[2J'
    code, _, error = await run(tables, monkeypatch, capsys, "show", f"{PARTITION}:0")
    assert (code, error) == (1, "There is no such dead letter.\n")


async def test_the_command_retries_and_discards_and_prints_outcomes(
    read_model: ActiveReadModel,
    tables: ReadModelTables,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = chat(1), chat(1)
    await project_with_poison(read_model, first, 1)
    await project_with_poison(read_model, second, 3)
    code, printed, _ = await run(tables, monkeypatch, capsys, "retry", "--all")
    assert code == 1
    assert f"{PARTITION}:7  parked again: invalid data for its type" in printed
    assert printed.splitlines()[-1] == "4 dead letters: 4 parked"

    code, printed, _ = await run(
        tables, monkeypatch, capsys, "discard", f"{PARTITION}:1", "--reason", "a test"
    )
    assert code == 0
    assert printed.splitlines()[0] == f"{PARTITION}:1  discarded"
    assert printed.splitlines()[-1] == "3 dead letters: 1 discarded, 2 applied"
    code, _, _ = await run(tables, monkeypatch, capsys, "discard", str(second.id), "--reason", "")
    assert code == 0
    code, printed, _ = await run(tables, monkeypatch, capsys, "retry", "--all")
    assert (code, printed) == (0, "There are no dead letters.\n")
    code, _, error = await run(tables, monkeypatch, capsys, "retry", str(first.id))
    assert (code, error) == (1, "There is no such dead letter.\n")


@pytest.mark.parametrize(
    "command",
    [
        ["retry"],
        ["retry", "3:1", "--all"],
        ["retry", "3"],
        ["discard", "3:1"],
        ["show", "3:x"],
        ["list", "--limit", "0"],
    ],
    ids=" ".join,
)
async def test_an_invalid_command_line_exits_with_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setattr("sys.argv", ["parley_history", "dead-letters", *command])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
