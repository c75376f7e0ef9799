"""Recovery of the turn buffer writer from an unexpected error."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from parley_core.crypto.sealing import DataKey
from parley_core.runtime.background_tasks import background_tasks
from parley_core.streaming.turn_buffer import BufferEntry, StreamHeader, TurnBufferReader
from parley_core.streaming.turn_buffer_redis import BufferWrite, WriteOutcome
from parley_inference.streaming.buffer_writer import TurnBufferWriter
from parley_inference.streaming.live_turn import LiveTurn
from parley_inference.streaming.reply_text import ReplyText
from parley_testing.eventually import eventually
from parley_testing.stored_turn import ADA, StoredTurn

KEY = DataKey.generate()


class Buffers:
    """Fails once with an unexpected error, then works."""

    is_open = False

    def __init__(self) -> None:
        self.fails = True
        self.entries: list[BufferEntry] = []

    async def write(self, writes: Sequence[BufferWrite]) -> Sequence[WriteOutcome]:
        if self.fails:
            self.fails = False
            raise RuntimeError
        [write] = writes
        if not self.entries and not write.create:
            return ["gone"]
        self.entries += write.entries
        return ["written"]


@pytest.fixture
def live() -> LiveTurn:
    stored = StoredTurn(uuid4(), uuid4(), "Hello?", "demo")
    live = LiveTurn(stored.shape(), ADA, ReplyText(1_000_000))
    live.header = StreamHeader(model="demo", prompt_tokens=7)
    return live


async def test_text_of_a_failed_flush_is_written_without_another_change(
    live: LiveTurn, caplog: pytest.LogCaptureFixture
) -> None:
    buffers: Any = Buffers()
    writer = TurnBufferWriter(buffers)
    live.append("text")
    writer.begin(live, KEY, 600)
    async with background_tasks(writer.run()):
        await eventually(lambda: len(buffers.entries) == 2)
    assert TurnBufferReader(live.id, KEY).apply(buffers.entries) == "text"
    assert "turn buffer writer: RuntimeError" in caplog.text
