"""What the flusher does when a write ends as nobody expected."""

from uuid import uuid4

import pytest
from inference_peers.session import ADA, StoredTurn

from parley_core.crypto.sealing import DataKey
from parley_core.runtime.background_tasks import background_tasks
from parley_core.streaming.turn_buffer import StreamHeader, TurnBufferReader
from parley_inference.streaming.buffer_writer import TurnBufferWriter
from parley_inference.streaming.live_turn import LiveTurn
from parley_inference.streaming.reply_text import ReplyText
from parley_testing.eventually import eventually

KEY = DataKey.generate()


class Buffers:
    """Fails with what no adapter catches, and then does what it is told."""

    rests = False

    def __init__(self):
        self.fails, self.entries = True, []

    async def write(self, writes):
        if self.fails:
            self.fails = False
            raise RuntimeError
        [write] = writes
        if not self.entries and not write.create:
            return ["gone"]
        self.entries += write.entries
        return ["written"]


@pytest.fixture
def live():
    stored = StoredTurn(uuid4(), uuid4(), "Hello?", "demo")
    live = LiveTurn(stored.shape(), ADA, ReplyText(1_000_000))
    live.opening = StreamHeader(model="demo", prompt_tokens=7)
    return live


async def test_what_a_surprise_kept_from_being_written_is_written_without_further_news(
    live, caplog
):
    buffers = Buffers()
    flusher = TurnBufferWriter(
        buffers,
        every_seconds=0.01,
        most_turns=10,
        most_bytes=1_000,
        grace_seconds=60,
        keep_ended_seconds=60,
    )
    live.append("text")
    flusher.begin(live, KEY, 600)
    async with background_tasks(flusher.run()):
        await eventually(lambda: len(buffers.entries) == 2)
    assert TurnBufferReader(live.id, KEY).take(buffers.entries) == "text"
    assert "flusher: RuntimeError" in caplog.text
