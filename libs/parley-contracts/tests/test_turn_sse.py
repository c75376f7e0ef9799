"""Encoding of a turn as server-sent events, and replays from every position."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from parley_contracts import turn_sse as sse
from parley_contracts.api_models import ErrorShape, Message, Turn, TurnStatus, UsageShape

SESSION, TURN, MESSAGE, REPLY = (UUID(int=number) for number in range(1, 5))
FAMILY = "👨‍👩‍👧"
"""One picture, five code points."""
COMBINED = "e\u0301"
"""One letter, two code points."""


def message(**changes: Any) -> Message:
    fields = {
        "id": MESSAGE,
        "session_id": SESSION,
        "turn_id": TURN,
        "parent_message_id": None,
        "role": "user",
        "content": "Hi",
        "status": "completed",
        "version": 2,
        "created_at": datetime(2026, 11, 24, 10, tzinfo=UTC),
    }
    return Message(**fields | changes)


def turn(
    content: str, status: TurnStatus = "completed", error: ErrorShape | None = None, **reply: Any
) -> Turn:
    return Turn(
        id=TURN,
        session_id=SESSION,
        status=status,
        message=message(),
        reply_id=REPLY,
        reply=message(
            id=REPLY, role="assistant", content=content, status=status, version=4, **reply
        ),
        error=error,
        version=4,
    )


def read(event: bytes) -> tuple[str, dict[str, Any]]:
    """An event as a client reads it: its id and its data."""
    data, identifier, *rest = event.decode().splitlines()
    assert rest == [""]
    return identifier.removeprefix("id: "), json.loads(data.removeprefix("data: "))


def test_the_first_event_is_encoded_byte_for_byte() -> None:
    event = sse.started(turn("Hello"), "/v1/turns/2/stream?ticket=t")

    assert event == (
        b'data: {"type":"turn.started","sequence_number":0,'
        b'"session_id":"00000000-0000-0000-0000-000000000001",'
        b'"turn_id":"00000000-0000-0000-0000-000000000002",'
        b'"message_id":"00000000-0000-0000-0000-000000000003",'
        b'"reply_id":"00000000-0000-0000-0000-000000000004","version":3,'
        b'"stream_url":"/v1/turns/2/stream?ticket=t"}\nid: 0\n\n'
    )


def test_a_delta_is_encoded_byte_for_byte() -> None:
    assert sse.delta("né\n", 12) == (
        'data: {"type":"reply.delta","sequence_number":12,"delta":"né\\n"}\nid: 12\n\n'.encode()
    )


# Everything at which str.splitlines ends a line, and more.
@pytest.mark.parametrize(
    "breaking", [*"\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029\0", "\r\n\r\n", "id: 7\n"]
)
def test_no_text_breaks_the_framing_of_an_event(breaking: str) -> None:
    text = f"a{breaking}b"

    event = sse.delta(text, len(text))

    assert event.count(b"\n") == 3
    assert len(event.decode().splitlines()) == 3
    assert b"\r" not in event
    assert b"\0" not in event
    assert read(event)[1]["delta"] == text


def test_white_space_of_json_does_not_break_the_framing_of_an_event() -> None:
    assert sse.event(b'{\r\n "a":\n1}') == b'data: {   "a": 1}\n\n'


def test_a_heartbeat_is_a_comment() -> None:
    assert sse.HEARTBEAT == b": heartbeat\n\n"


def test_a_completed_turn_ends_with_its_message_and_usage() -> None:
    usage = UsageShape(prompt_tokens=3, completion_tokens=4, total_tokens=7)
    ended = turn("Hello", model="m", finish_reason="stop", usage=usage)

    identifier, data = read(sse.ended(ended))

    assert identifier == sse.END == "end"
    assert ended.reply is not None
    assert data == {
        "type": "reply.completed",
        "sequence_number": 5,
        "turn_id": str(TURN),
        "message": json.loads(ended.reply.to_json()),
        "version": 4,
        "usage": json.loads(usage.to_json()),
    }


def test_a_failed_turn_ends_with_its_error_and_partial_reply() -> None:
    error = ErrorShape(message="Cut off.", type="server_error", code="interrupted")

    _, data = read(sse.ended(turn("Hel", "failed", error)))

    assert (data["type"], data["sequence_number"]) == ("reply.failed", 3)
    assert data["error"] == json.loads(error.to_json())
    assert data["message"]["content"] == "Hel"
    assert "usage" not in data


def test_a_cancelled_turn_ends_without_an_error() -> None:
    _, data = read(sse.ended(turn("", "cancelled")))

    assert (data["type"], data["sequence_number"]) == ("reply.cancelled", 0)
    assert "error" not in data


@pytest.mark.parametrize(
    ("content", "positions"), [("Hello", 5), ("🙂", 1), (FAMILY, 5), (COMBINED, 2), ("", 0)]
)
def test_positions_count_code_points(content: str, positions: int) -> None:
    _, data = read(sse.ended(turn(content)))

    assert data["sequence_number"] == positions


@pytest.mark.parametrize("content", ["Hello, you", f"{FAMILY} and {COMBINED}\n🙂", ""])
def test_a_replay_after_any_position_completes_the_reply(content: str) -> None:
    for position in range(len(content) + 1):
        *deltas, last = map(read, sse.replay(turn(content), position))

        assert content[:position] + "".join(data["delta"] for _, data in deltas) == content
        assert [identifier for identifier, _ in deltas] == [str(len(content))] * len(deltas)
        assert last == read(sse.ended(turn(content)))


@pytest.mark.parametrize("position", [5, 6, 1000])
def test_a_replay_after_the_whole_reply_is_only_its_end(position: int) -> None:
    assert list(sse.replay(turn("Hello"), position)) == [sse.ended(turn("Hello"))]


def test_a_reply_without_text_has_no_delta() -> None:
    [last] = sse.replay(turn("", "cancelled"), 0)

    assert read(last)[1]["type"] == "reply.cancelled"
