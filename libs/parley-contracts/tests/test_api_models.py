"""The shapes as clients read them: nothing that is absent, times in UTC, new fields tolerated."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from parley_contracts.api_models import (
    Assistant,
    ErrorShape,
    Message,
    Page,
    SessionShape,
    Turn,
    UsageShape,
    rfc3339,
)

TEN = datetime(2026, 11, 24, 10, tzinfo=UTC)
SESSION, TURN, MESSAGE, REPLY = (UUID(int=number) for number in range(1, 5))


def message(**changes: Any) -> Message:
    fields: dict[str, Any] = {
        "id": MESSAGE,
        "session_id": SESSION,
        "turn_id": TURN,
        "parent_message_id": None,
        "role": "user",
        "content": "naïve 🙂",
        "status": "completed",
        "version": 2,
        "created_at": TEN,
    }
    return Message(**fields | changes)


def turn(**changes: Any) -> Turn:
    fields: dict[str, Any] = {
        "id": TURN,
        "session_id": SESSION,
        "status": "running",
        "message": message(),
        "reply_id": REPLY,
        "reply": None,
        "version": 3,
    }
    return Turn(**fields | changes)


def test_absent_fields_of_a_message_are_left_out() -> None:
    assert json.loads(message().to_json()) == {
        "object": "message",
        "id": str(MESSAGE),
        "session_id": str(SESSION),
        "turn_id": str(TURN),
        "parent_message_id": None,
        "role": "user",
        "content": "naïve 🙂",
        "status": "completed",
        "version": 2,
        "created_at": "2026-11-24T10:00:00.000000Z",
    }


def test_a_reply_has_its_model_finish_reason_and_usage() -> None:
    usage = UsageShape(prompt_tokens=3, completion_tokens=4, total_tokens=7)

    read = json.loads(
        message(role="assistant", model="m", finish_reason="stop", usage=usage).to_json()
    )

    assert (read["model"], read["finish_reason"]) == ("m", "stop")
    assert read["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "total_tokens": 7,
        "estimated": False,
    }


def test_a_message_without_a_turn_has_a_null_turn_id() -> None:
    assert json.loads(message(turn_id=None).to_json())["turn_id"] is None


def test_a_running_turn_has_a_null_reply_and_no_error() -> None:
    read = json.loads(turn().to_json())

    assert read["reply"] is None
    assert "error" not in read
    assert (read["object"], read["status"], read["reply_id"]) == ("turn", "running", str(REPLY))


def test_a_failed_turn_has_an_error_in_the_error_shape() -> None:
    error = ErrorShape(message="Cut off.", type="server_error", code="interrupted")

    read = json.loads(turn(status="failed", error=error).to_json())

    assert read["error"] == {
        "message": "Cut off.",
        "type": "server_error",
        "param": None,
        "code": "interrupted",
    }


def test_absent_fields_of_a_session_are_null() -> None:
    shape = SessionShape(
        id=SESSION,
        assistant_id="general",
        title=None,
        metadata={},
        version=1,
        created_at=TEN,
        updated_at=TEN,
    )

    read = json.loads(shape.to_json())

    assert (read["object"], read["title"], read["metadata"]) == ("session", None, {})


@pytest.mark.parametrize(
    "shape",
    [
        message(usage=UsageShape(prompt_tokens=1, completion_tokens=1, total_tokens=2)),
        turn(reply=message(role="assistant", model="m"), status="completed"),
        Page[Message](data=[message()], first_id=str(MESSAGE), last_id=str(MESSAGE), version=4),
        Assistant(id="a", version=1, name="A", description="", model=None, default=True),
    ],
)
def test_a_model_survives_a_json_round_trip(shape: Any) -> None:
    assert type(shape).model_validate_json(shape.to_json()) == shape


def test_an_unknown_field_is_ignored() -> None:
    grown = {**json.loads(message().to_json()), "mood": "curious"}

    assert Message.model_validate_json(json.dumps(grown)) == message()


def test_a_model_is_immutable() -> None:
    with pytest.raises(ValidationError):
        message().content = "other"


def test_a_page_has_a_version_only_if_it_was_projected() -> None:
    empty: dict[str, Any] = {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }

    assert json.loads(Page[Message](data=[]).to_json()) == empty
    assert json.loads(Page[Message](data=[], version=0).to_json()) == {**empty, "version": 0}


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (TEN, "2026-11-24T10:00:00.000000Z"),
        (TEN + timedelta(microseconds=7), "2026-11-24T10:00:00.000007Z"),
        (
            datetime(2026, 11, 25, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            "2026-11-24T20:00:00.000000Z",
        ),
    ],
)
def test_a_time_is_rfc_3339_in_utc_with_microseconds(time: datetime, text: str) -> None:
    assert rfc3339(time) == text
    assert json.loads(message(created_at=time).to_json())["created_at"] == text


def test_times_sort_as_text() -> None:
    times = [TEN + timedelta(microseconds=step) for step in (0, 1, 10, 999_999, 1_000_000)]

    assert sorted(map(rfc3339, times)) == [rfc3339(time) for time in times]


def test_a_time_without_an_offset_is_rejected() -> None:
    with pytest.raises(ValidationError):
        message(created_at=datetime(2026, 11, 24, 10))
