"""Arguments of `parley log`: accepted forms and error messages."""

import argparse
import pkgutil
from datetime import UTC, datetime, timedelta

import pytest

from parley_cli.log.sql.as_of import AsOf
from parley_cli.log.time_arguments import parse_time
from parley_cli.parser import build_parser

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("15m", NOW - timedelta(minutes=15)),
        ("2h", NOW - timedelta(hours=2)),
        ("3d", NOW - timedelta(days=3)),
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
        ("2026-11-24T10:00:00Z", datetime(2026, 11, 24, 10, tzinfo=UTC)),
        ("2026-11-24 10:00:00.5+02:00", datetime(2026, 11, 24, 8, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_a_time_is_an_age_or_a_date(text: str, time: datetime) -> None:
    assert parse_time(text, NOW) == time


@pytest.mark.parametrize("text", ["", "soon", "15", "999999d9", "999999d", "2026-13-01"])
def test_an_invalid_time_is_rejected_with_the_expected_form(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected an age such as 15m, 2h or 3d"):
        parse_time(text, NOW)


def test_a_short_type_stands_for_its_full_types_and_a_full_type_for_itself() -> None:
    options = build_parser().parse_args(
        ["log", "tail", "--type", "reply_failed", "--type", "a.b.c.v9"]
    )
    assert options.type == [{"parley.session.reply_failed.v1"}, {"a.b.c.v9"}]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--type", "replied"], "or one of cancel_requested, completion_served"),
        (["--session", "mine"], "expected the UUID of a session"),
        (["--session", "0199c0d"], "its first 8 or more digits"),
        (["--from", "beginning"], "such as 3:1250"),
        (["--limit", "0"], "expected a whole number from 1 to 100000"),
        (["--follow", "--until", "1h"], "not allowed with argument"),
    ],
)
def test_invalid_arguments_are_rejected_with_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        build_parser().parse_args(["log", "tail", *arguments])
    assert sentence in capsys.readouterr().err


def test_arguments_of_dead_letters_are_passed_on_unchanged() -> None:
    arguments = ["discard", "3:1250", "--reason", "by hand"]
    assert build_parser().parse_args(["log", "dead-letters", *arguments]).rest == arguments


COMMANDS = ["log", "rebuild", "rebuild history"]
COMMANDS += [f"log {each}" for each in ("tail", "verify", "restore", "reconcile", "dead-letters")]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_has_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        build_parser().parse_args([*command.split(), "--help"])
    assert f"\nexamples:\n  parley {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        "up",
        "status",
        "token --user ada",
        "chat",
        "log tail",
        "rebuild history",
        "backup --to x",
        "verify-backup --from x",
        "restore --from x",
        "export --user ada",
        "erase-user --user ada",
        "keys status",
        "api-keys list --user ada",
        "revoke user ada",
    ],
)
def test_every_command_has_a_function_that_runs_it(arguments: str) -> None:
    options = build_parser().parse_args(arguments.split())
    assert callable(pkgutil.resolve_name(options.run))


def test_an_export_takes_ranges_and_a_query_the_moment_of_its_answer() -> None:
    parsed = build_parser().parse_args(
        ["log", "export", "--to", "x", "--from", "3:1250", "--before", "3:1300", "--continue"]
    )
    assert (parsed.starts, parsed.ends, parsed.resume) == ([(3, 1250)], [(3, 1300)], True)
    query = ["log", "sql", "--as-of"]
    positions = build_parser().parse_args([*query, "0:17,1:12", "SELECT 1"]).as_of
    assert positions == AsOf(positions={0: 17, 1: 12})
    time = build_parser().parse_args([*query, "2026-11-24", "SELECT 1"]).as_of
    assert time == AsOf(time=datetime(2026, 11, 24, tzinfo=UTC))


@pytest.mark.parametrize("arguments", [["--from", "3"], ["--format", "csv"], []], ids=str)
def test_an_invalid_option_of_an_export_is_a_usage_error(arguments: list[str]) -> None:
    target = ["--to", "x"] if arguments else []
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["log", "export", *target, *arguments])
    assert ended.value.code == 2
