"""A line of `parley log tail` on a terminal fits its width."""

import pytest
from cli_fakes.conversation import MORNING, FakeConversation
from rich.cells import cell_len

from parley_cli.log.tail.formatting import as_lines
from parley_cli.log.tail.log_record import LogRecord
from parley_events.audit import AuditRecorded
from parley_events.cloudevents import Record
from parley_events.golden import golden_record


def logged(record: Record, offset: int = 1) -> LogRecord:
    return LogRecord(MORNING, 11, offset, record, "")


@pytest.mark.parametrize("columns", [80, 100])
def test_a_line_fits_the_columns_and_has_its_session_and_position(columns: int) -> None:
    conversation = (
        FakeConversation("ada.lovelace@analytical-engines.example", tenant="mathematics")
        .submitted("Hello")
        .replied("Hi", model="a-model-with-a-long-name-2026-11-24")
        .replied("Hi", model="模型" * 20)
    )
    for offset, record in enumerate(conversation.records, start=123_456):
        [line] = as_lines(logged(record, offset), columns=columns)
        assert cell_len(line) <= columns
        assert line.split()[2] == str(conversation.id)[:8]
        assert line.endswith(f" 11:{offset}")


def test_a_usual_reply_is_shown_in_full_within_80_columns() -> None:
    [_, record] = FakeConversation().replied("Hi", model="gpt").records
    [line] = as_lines(logged(record), columns=80)
    assert "reply_completed" in line
    assert "gpt stop 12+34 tokens" in line


def test_an_undecodable_record_fits_the_columns() -> None:
    [line] = as_lines(logged(Record(b"who knows " * 30, [], b"\xff")), columns=80)
    assert cell_len(line) <= 80
    assert line.endswith(" 11:1")


def test_a_record_of_the_audit_trail_is_shown_with_its_action_and_what_it_concerns() -> None:
    [line] = as_lines(logged(golden_record(AuditRecorded.TYPE)))
    for part in ("session.erased", "acme/staff:ada", "done", "192.0.2.7", "session 0199c0de-"):
        assert part in line
