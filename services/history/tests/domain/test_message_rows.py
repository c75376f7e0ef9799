"""Rows of imported messages."""

from datetime import UTC, datetime
from uuid import UUID

from parley_events.cloudevents import decode
from parley_events.golden import golden_record
from parley_events.session import MessageImported
from parley_history.domain.message_rows import imported_message
from parley_history.domain.rows import MessageRow


def test_an_imported_reply_is_a_row_with_its_original_time_and_the_fields_of_a_reply() -> None:
    event = decode(golden_record(MessageImported.TYPE))
    assert isinstance(event.data, MessageImported)
    assert imported_message(event, event.data) == MessageRow(
        session_id=UUID("0199c0de-0000-7000-8000-000000000001"),
        version=10,
        id=UUID("0199c0de-0000-7000-8000-00000000000b"),
        event_id=UUID("0199c0de-0000-7000-8000-00000000006e"),
        turn_id=None,
        parent_id=UUID("0199c0de-0000-7000-8000-000000000003"),
        role="assistant",
        status="failed",
        created_at=event.time,
        content=b"\x01sealed content",
        original_time=datetime(2025, 3, 1, 8, tzinfo=UTC),
        model="demo",
        prompt_tokens=12,
        completion_tokens=4,
        tokens_estimated=True,
        error_code="upstream_timeout",
    )


def test_an_imported_message_without_these_fields_is_completed() -> None:
    event = decode(golden_record(MessageImported.TYPE))
    assert isinstance(event.data, MessageImported)
    others = {"status": None, "model": None, "usage": None, "error_code": None}
    row = imported_message(event, event.data.model_copy(update=others))
    assert (row.status, row.model, row.prompt_tokens, row.error_code) == (
        *("completed", None, None),
        None,
    )
