"""Every position of a reply is written once, whichever responses of Redis are lost."""

from uuid import uuid4

import pytest

from parley_core.crypto.sealing import DataKey
from parley_core.streaming.turn_buffer import BufferEntry, StreamHeader, TurnBufferReader
from parley_core.streaming.turn_buffer_redis import BufferWrite, WriteOutcome
from parley_inference.streaming.buffer_write_state import BufferWriteState
from parley_inference.streaming.live_turn import LiveTurn
from parley_inference.streaming.reply_text import ReplyText
from parley_testing.stored_turn import ADA, StoredTurn

KEY = DataKey.generate()


class Redis:
    """One turn buffer, with the semantics of a Redis stream."""

    def __init__(self) -> None:
        self.entries: dict[tuple[int, ...], BufferEntry] = {}
        self.exists = False

    def do(self, write: BufferWrite | None) -> WriteOutcome:
        assert write is not None
        if write.create:
            self.exists = True
        if not self.exists:
            return "gone"
        for entry in write.entries:
            entry_id = tuple(map(int, entry.id.split("-")))
            if not self.entries or entry_id > max(self.entries):
                self.entries[entry_id] = entry
        return "written"

    def lose(self) -> None:
        self.entries, self.exists = {}, False

    def read(self, turn: LiveTurn) -> tuple[TurnBufferReader, str]:
        reader = TurnBufferReader(turn.id, KEY)
        return reader, reader.apply(self.entries.values())


@pytest.fixture
def stored() -> StoredTurn:
    return StoredTurn(uuid4(), uuid4(), "Hello?", "demo")


@pytest.fixture
def live(stored: StoredTurn) -> LiveTurn:
    live = LiveTurn(stored.shape(), ADA, ReplyText(1_000_000))
    live.header = StreamHeader(model="demo", prompt_tokens=7)
    return live


@pytest.fixture
def state(live: LiveTurn) -> BufferWriteState:
    return BufferWriteState(live, KEY, running_ttl=600, ended_ttl=90)


def test_without_changes_nothing_is_written(live: LiveTurn, state: BufferWriteState) -> None:
    redis = Redis()
    state.record(redis.do(state.next_write()))
    assert state.next_write() is None
    live.append("text")
    state.record(redis.do(state.next_write()))
    assert state.next_write() is None
    assert redis.read(live)[1] == "text"


@pytest.mark.parametrize("arrived", [True, False])
def test_a_write_with_a_lost_response_is_repeated_unchanged(
    live: LiveTurn, state: BufferWriteState, arrived: bool
) -> None:
    redis = Redis()
    state.record(redis.do(state.next_write()))
    for text in ("ab", "cd", "ef"):
        live.append(text)
        write = state.next_write()
        if arrived:
            redis.do(write)
        state.record("unknown")
    while write := state.next_write():
        state.record(redis.do(write))
    assert redis.read(live)[1] == "abcdef"
    assert [end for end, number in redis.entries if not number] == [2, 6]


@pytest.mark.parametrize("arrived", [True, False])
def test_a_lost_response_to_the_first_write_leaves_no_gap(
    live: LiveTurn, state: BufferWriteState, arrived: bool
) -> None:
    redis = Redis()
    live.append("ab")
    write = state.next_write()
    if arrived:
        redis.do(write)
    state.record("unknown")
    live.append("cd")
    while write := state.next_write():
        state.record(redis.do(write))
    reader, text = redis.read(live)
    assert (reader.header, text) == (live.header, "abcd")


def test_repeated_lost_responses_add_no_entries(live: LiveTurn, state: BufferWriteState) -> None:
    redis = Redis()
    for _ in range(100):
        live.append("0123456789")
        redis.do(state.next_write())
        state.record("unknown")
    while write := state.next_write():
        state.record(redis.do(write))
    assert redis.read(live)[1] == "0123456789" * 100
    assert len(redis.entries) == 3


def test_a_lost_buffer_is_rewritten_from_the_start(live: LiveTurn, state: BufferWriteState) -> None:
    redis = Redis()
    live.append("ab")
    state.record(redis.do(state.next_write()))
    redis.lose()
    live.append("cd")
    state.record(redis.do(state.next_write()))
    state.record(redis.do(state.next_write()))
    assert redis.read(live)[1] == "abcd"


def test_the_header_names_the_model_that_answers(live: LiveTurn, state: BufferWriteState) -> None:
    redis = Redis()
    state.record(redis.do(state.next_write()))
    live.set_model("fallback", None)
    live.append("text")
    while write := state.next_write():
        state.record(redis.do(write))
    reader, text = redis.read(live)
    assert reader.header is not None
    assert (reader.header.model, reader.header.prompt_tokens, text) == ("fallback", 7, "text")


@pytest.mark.parametrize("content", ["", "text", "text, longer"])
def test_the_end_marker_is_written_once(
    live: LiveTurn, state: BufferWriteState, stored: StoredTurn, content: str
) -> None:
    redis = Redis()
    live.append("text")
    state.record(redis.do(state.next_write()))
    stored.end("failed", content)
    live.end(stored.shape())
    write = state.next_write()
    assert write is not None
    assert write.ttl_seconds == 90
    redis.do(write)
    state.record("unknown")
    assert state.next_write() is None
    reader, text = redis.read(live)
    assert (reader.ended, text) == (True, "text")
