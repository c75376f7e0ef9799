"""`parley log sql` over an export: formats, plots, the prompt, and questions that fail."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from parley_cli.__main__ import main
from parley_cli.log.dataset.export_writer import ExportWriter
from parley_cli.log.dataset.manifest import Manifest, Selection, StreamState
from parley_cli.log.dataset.raw_events import RawEvent, raw_table
from parley_cli.log.dataset.storage_location import storage_at
from parley_cli.log.generation.command import generate
from parley_events.golden import golden_record

SESSIONS = 30
SERIES_COLOUR = (0x24, 0x63, 0xB4)
BY_STATUS = "SELECT status, count(*) AS turns FROM turns GROUP BY status ORDER BY status"


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sql") / "export"
    generate(str(folder), SESSIONS, 4, days=3, content=False)
    return folder


@pytest.fixture
def output(capfdbinary: pytest.CaptureFixture[bytes]) -> pytest.CaptureFixture[bytes]:
    return capfdbinary


def answer(output: pytest.CaptureFixture[bytes], export: Path, *arguments: str) -> bytes:
    output.readouterr()
    assert main(["log", "sql", "--export", str(export), *arguments]) == 0
    return output.readouterr().out


def failure(output: pytest.CaptureFixture[bytes], export: Path, *arguments: str) -> str:
    output.readouterr()
    assert main(["log", "sql", "--export", str(export), *arguments]) == 1
    printed = output.readouterr()
    assert printed.out == b""
    return printed.err.decode()


def test_the_formats_have_the_same_rows(
    export: Path, tmp_path: Path, output: pytest.CaptureFixture[bytes]
) -> None:
    rows = json.loads(answer(output, export, "--format", "json", BY_STATUS))
    assert {"cancelled", "completed"} <= {row["status"] for row in rows}
    text = answer(output, export, "--format", "csv", BY_STATUS).decode()
    assert [*csv.DictReader(io.StringIO(text))] == [
        {name: str(value) for name, value in row.items()} for row in rows
    ]
    answer(output, export, "--format", "parquet", "--to", str(tmp_path / "rows.parquet"), BY_STATUS)
    assert pq.read_table(tmp_path / "rows.parquet").to_pylist() == rows
    table = answer(output, export, BY_STATUS).decode()
    assert all(row["status"] in table and str(row["turns"]) in table for row in rows)


def test_times_are_in_utc_and_exact(export: Path, output: pytest.CaptureFixture[bytes]) -> None:
    query = "SELECT TIMESTAMPTZ '2026-11-24 12:00:00.123456+02' AS at"
    assert json.loads(answer(output, export, "--format", "json", query)) == [
        {"at": "2026-11-24T10:00:00.123456Z"}
    ]


def test_a_long_table_is_cut_and_says_so(
    export: Path, output: pytest.CaptureFixture[bytes]
) -> None:
    table = answer(output, export, "SELECT * FROM range(1000)").decode()
    assert "200 of 1,000 rows" in table
    assert "500" not in table


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("SELECT colour FROM sessions", "colour"),
        ("SELECT * FROM conversations", "conversations"),
        ("SELEC 1", "SELEC"),
        ("SELECT sum(text) FROM messages", "sum"),
    ],
)
def test_a_broken_query_is_a_sentence_with_the_views(
    query: str, named: str, export: Path, output: pytest.CaptureFixture[bytes]
) -> None:
    message = failure(output, export, query)
    assert named in message
    assert "sessions, messages, turns, usage, events" in message
    assert "Traceback" not in message


def test_a_folder_without_an_export_or_with_a_damaged_file_is_named(
    export: Path, tmp_path: Path, output: pytest.CaptureFixture[bytes]
) -> None:
    assert "parley log export" in failure(output, tmp_path, "SELECT 1")
    copy = tmp_path / "copy"
    for path in storage_at(str(export)).paths():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_bytes((export / path).read_bytes())
    [reply, *_] = copy.glob("sessions/type=*reply_completed*/*/*.parquet")
    reply.write_bytes(b"no parquet")
    assert "verify --export" in failure(output, copy, BY_STATUS)
    reply.unlink()
    assert "verify --export" in failure(output, copy, BY_STATUS)


def test_a_dataset_of_an_older_schema_has_null_in_newer_columns(
    export: Path, tmp_path: Path, output: pytest.CaptureFixture[bytes]
) -> None:
    copy = tmp_path / "older"
    for path in storage_at(str(export)).paths():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_bytes((export / path).read_bytes())
    for file in copy.glob("sessions/type=*reply_completed*/*/*.parquet"):
        table = pq.read_table(file, partitioning=None)
        pq.write_table(table.drop_columns(["total_ms", "unknown_fields"]), file)
    query = "SELECT count(*) AS n, count(total_ms) AS known FROM turns WHERE status = 'completed'"
    [row] = json.loads(answer(output, copy, "--format", "json", query))
    assert row["n"] > 0
    assert row["known"] == 0


def test_a_type_that_this_version_does_not_know_has_a_view_under_its_full_name(
    tmp_path: Path, output: pytest.CaptureFixture[bytes]
) -> None:
    writer = ExportWriter(storage_at(str(tmp_path)), Manifest(selection=Selection()))
    event = RawEvent.of(0, 0, golden_record("parley.session.session_started.v1"))
    kind = b"parley.session.sessions.v1"
    newer = event._replace(type=kind, value=b'{"more":1}')
    writer.write_parts(raw_table([newer]), None)
    writer.checkpoint("sessions", StreamState(topic="sessions"), {})
    writer.complete()
    query = f'SELECT data, (SELECT count(*) FROM sessions) AS sessions FROM "{kind.decode()}"'
    assert json.loads(answer(output, tmp_path, "--format", "json", query)) == [
        {"data": '{"more":1}', "sessions": 0}
    ]
    manifest = tmp_path / "manifest.json"
    manifest.write_text(manifest.read_text().replace(kind.decode(), "parley.session.it's.v1"))
    assert "not a manifest" in failure(output, tmp_path, "SELECT 1")


def test_positions_beyond_the_export_are_named(
    export: Path, output: pytest.CaptureFixture[bytes]
) -> None:
    assert "--continue" in failure(output, export, "--as-of", "0:999999", "SELECT 1")


def test_an_invalid_moment_is_a_usage_error(
    export: Path, output: pytest.CaptureFixture[bytes]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["log", "sql", "--export", str(export), "--as-of", "yesterday", "SELECT 1"])
    assert ended.value.code == 2
    assert b"PARTITION:OFFSET" in output.readouterr().err


@pytest.mark.parametrize("kind", ["bar", "line"])
def test_a_result_is_plotted_in_the_terminal_as_a_page_and_as_an_image(
    kind: str, export: Path, tmp_path: Path, output: pytest.CaptureFixture[bytes]
) -> None:
    drawn = answer(output, export, "--plot", kind, BY_STATUS).decode()
    assert "cancelled" in drawn
    assert "█" in drawn
    page = tmp_path / "chart.html"
    answer(output, export, "--plot", kind, "--to", str(page), BY_STATUS)
    assert "<svg" in page.read_text()
    assert "turns" in page.read_text()
    picture = tmp_path / "chart.png"
    answer(output, export, "--plot", kind, "--to", str(picture), BY_STATUS)
    with Image.open(picture) as image:
        colours = {colour for _, colour in image.getcolors(1_000_000) or ()}
    assert SERIES_COLOUR in colours


def test_a_result_without_numbers_cannot_be_plotted(
    export: Path, output: pytest.CaptureFixture[bytes]
) -> None:
    assert "number" in failure(output, export, "--plot", "bar", "SELECT id FROM sessions")


def test_a_division_by_zero_is_null_in_json_and_zero_in_a_plot(
    export: Path, output: pytest.CaptureFixture[bytes]
) -> None:
    query = (
        "SELECT 'a' AS label, 0::DOUBLE / 0 AS nothing, 1::DOUBLE / 0 AS endless, [1 / 0] AS list"
    )
    assert json.loads(answer(output, export, "--format", "json", query)) == [
        {"label": "a", "nothing": None, "endless": None, "list": [None]}
    ]
    for kind in ("bar", "line"):
        assert "nothing" in answer(output, export, "--plot", kind, query).decode()


def test_the_query_is_read_from_standard_input(
    export: Path, output: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT 7 AS seven"))
    assert json.loads(answer(output, export, "--format", "json")) == [{"seven": 7}]


def test_the_prompt_answers_statements_and_survives_a_broken_one(
    export: Path, output: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: Iterator[Any] = iter(
        ["SELECT 41", "  + 1 AS answer;", "SELEC;", "half", KeyboardInterrupt, "SELECT 43 AS b;"]
    )

    def typed(_: str) -> str:
        line = next(lines, EOFError)
        if not isinstance(line, str):
            raise line
        return line

    monkeypatch.setattr("builtins.input", typed)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    output.readouterr()
    assert main(["log", "sql", "--export", str(export)]) == 0
    printed = output.readouterr()
    assert b"42" in printed.out
    assert b"43" in printed.out
    assert b"SELEC" in printed.err


def test_missing_packages_are_named(
    export: Path, output: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "parley_cli.log.dataset.analysis_packages.find_spec", lambda name: name == "pyarrow" or None
    )
    assert "pip install 'parley-cli[analysis]'" in failure(output, export, "SELECT 1")
