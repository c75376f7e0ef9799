"""Ended turns are kept within a bound of memory, which counts all of their texts."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from parley_contracts.api_models import Message, Turn
from parley_core.auth.principal import Principal
from parley_inference.streaming.live_turn import LiveTurn
from parley_inference.streaming.live_turn_registry import MAX_ENDED_BYTES, LiveTurnRegistry
from parley_inference.streaming.reply_text import ReplyText

LONG = "x" * (MAX_ENDED_BYTES // 16)


def message(session_id: UUID, content: str) -> Message:
    return Message(
        id=uuid4(),
        session_id=session_id,
        turn_id=None,
        parent_message_id=None,
        role="user",
        content=content,
        status="completed",
        version=2,
        created_at=datetime(2026, 11, 24, tzinfo=UTC),
    )


def ended_turn(question: str, answer: str) -> LiveTurn:
    session_id = uuid4()
    turn = Turn(
        id=uuid4(),
        session_id=session_id,
        status="running",
        message=message(session_id, question),
        reply_id=uuid4(),
        reply=None,
        version=3,
    )
    live = LiveTurn(turn, Principal("default", "ada"), ReplyText(1_000))
    end = {"status": "completed", "reply": message(session_id, answer), "version": 4}
    live.end(turn.model_copy(update=end))
    return live


@pytest.mark.parametrize(("question", "answer"), [(LONG, "short"), ("short", LONG)])
def test_long_texts_of_ended_turns_evict_the_oldest(question: str, answer: str) -> None:
    registry = LiveTurnRegistry()
    turns = [ended_turn(question, answer) for _ in range(20)]
    for live in turns:
        registry.add(live)
        registry.mark_ended(live)
    assert registry.get(turns[0].id) is None
    assert registry.get(turns[-1].id) is turns[-1]
    assert len(registry) <= 16
