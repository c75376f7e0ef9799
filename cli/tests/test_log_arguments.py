"""What may be typed after `parley log`, and what is refused with a sentence."""

import argparse
from datetime import UTC, datetime, timedelta

import pytest

from parley_cli.log.time_arguments import moment
from parley_cli.parser import parser

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
def test_a_time_is_a_while_ago_or_a_date(text: str, time: datetime) -> None:
    assert moment(text, NOW) == time


@pytest.mark.parametrize("text", ["", "soon", "15", "999999d9", "999999d", "2026-13-01"])
def test_another_time_is_refused_with_what_it_should_look_like(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="it should look like 15m, 2h or 3d"):
        moment(text, NOW)


def test_a_short_name_stands_for_the_whole_type_and_a_whole_one_for_itself() -> None:
    chosen = parser().parse_args(["log", "tail", "--type", "reply_failed", "--type", "a.b.c.v9"])
    assert chosen.type == [{"parley.session.reply_failed.v1"}, {"a.b.c.v9"}]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--type", "replied"], "or one of cancel_requested, completion_served"),
        (["--session", "mine"], "it should be a session's UUID"),
        (["--from", "beginning"], "it should look like 3:1250"),
        (["--limit", "0"], "it should be a whole number from 1 to 100000"),
        (["--follow", "--until", "1h"], "not allowed with argument"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(["log", "tail", *arguments])
    assert sentence in capsys.readouterr().err


def test_what_follows_dead_letters_is_passed_on_as_it_is() -> None:
    typed = ["discard", "3:1250", "--reason", "by hand"]
    assert parser().parse_args(["log", "dead-letters", *typed]).rest == typed


COMMANDS = ["log", "rebuild", "rebuild history"]
COMMANDS += [f"log {each}" for each in ("tail", "verify", "restore", "reconcile", "dead-letters")]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_has_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        parser().parse_args([*command.split(), "--help"])
    assert f"\nexamples:\n  parley {command}" in capsys.readouterr().out
