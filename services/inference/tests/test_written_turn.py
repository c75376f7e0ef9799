"""What is written of a turn: each place once, whatever answers are lost."""

from uuid import uuid4

import pytest
from inference_peers.session import ADA, StoredTurn

from parley_core.crypto.sealing import DataKey
from parley_core.streaming.turn_buffer import StreamHeader, TurnBufferReader
from parley_inference.streaming.buffer_write_state import BufferWriteState
from parley_inference.streaming.live_turn import LiveTurn
from parley_inference.streaming.reply_text import ReplyText

KEY = DataKey.generate()


class Redis:
    """One buffer, as Redis keeps it."""

    def __init__(self):
        self.entries, self.there = {}, False

    def do(self, write):
        if write.create:
            self.there = True
        if not self.there:
            return "gone"
        for entry in write.entries:
            place = tuple(map(int, entry.id.split("-")))
            if not self.entries or place > max(self.entries):
                self.entries[place] = entry
        return "written"

    def lose(self):
        self.entries, self.there = {}, False

    def read(self, turn):
        reading = TurnBufferReader(turn.id, KEY)
        return reading, reading.apply(self.entries.values())


@pytest.fixture
def stored():
    return StoredTurn(uuid4(), uuid4(), "Hello?", "demo")


@pytest.fixture
def live(stored):
    live = LiveTurn(stored.shape(), ADA, ReplyText(1_000_000))
    live.opening = StreamHeader(model="demo", prompt_tokens=7)
    return live


@pytest.fixture
def turn(live):
    return BufferWriteState(live, KEY, keep_running=600, keep_ended=90)


def test_nothing_new_is_not_written(live, turn):
    redis = Redis()
    turn.wrote(redis.do(turn.write()))
    assert turn.write() is None
    live.append("text")
    turn.wrote(redis.do(turn.write()))
    assert turn.write() is None
    assert redis.read(live)[1] == "text"


@pytest.mark.parametrize("arrived", [True, False])
def test_what_may_have_been_written_is_written_again_as_it_was(live, turn, arrived):
    redis = Redis()
    turn.wrote(redis.do(turn.write()))
    for text in ("ab", "cd", "ef"):
        live.append(text)
        write = turn.write()
        if arrived:
            redis.do(write)
        turn.wrote("unknown")
    while write := turn.write():
        turn.wrote(redis.do(write))
    assert redis.read(live)[1] == "abcdef"
    assert [end for end, number in redis.entries if not number] == [2, 6]


@pytest.mark.parametrize("arrived", [True, False])
def test_a_beginning_whose_answer_was_lost_is_no_gap(live, turn, arrived):
    redis = Redis()
    live.append("ab")
    write = turn.write()
    if arrived:
        redis.do(write)
    turn.wrote("unknown")
    live.append("cd")
    while write := turn.write():
        turn.wrote(redis.do(write))
    reading, text = redis.read(live)
    assert (reading.header, text) == (live.opening, "abcd")


def test_many_lost_answers_keep_as_much_as_one(live, turn):
    redis = Redis()
    for _ in range(100):
        live.append("0123456789")
        redis.do(turn.write())
        turn.wrote("unknown")
    while write := turn.write():
        turn.wrote(redis.do(write))
    assert redis.read(live)[1] == "0123456789" * 100
    assert len(redis.entries) == 3


def test_what_is_gone_is_written_whole(live, turn):
    redis = Redis()
    live.append("ab")
    turn.wrote(redis.do(turn.write()))
    redis.lose()
    live.append("cd")
    turn.wrote(redis.do(turn.write()))
    turn.wrote(redis.do(turn.write()))
    assert redis.read(live)[1] == "abcd"


def test_the_model_that_answers_counts(live, turn):
    redis = Redis()
    turn.wrote(redis.do(turn.write()))
    live.answered_by("fallback", None)
    live.append("text")
    while write := turn.write():
        turn.wrote(redis.do(write))
    reading, text = redis.read(live)
    assert (reading.header.model, reading.header.prompt_tokens, text) == ("fallback", 7, "text")


@pytest.mark.parametrize("content", ["", "text", "text, longer"])
def test_the_end_is_told_once_however_the_turn_ended(live, turn, stored, content):
    redis = Redis()
    live.append("text")
    turn.wrote(redis.do(turn.write()))
    stored.end("failed", content)
    live.end(stored.shape())
    write = turn.write()
    assert write.ttl_seconds == 90
    redis.do(write)
    turn.wrote("unknown")
    assert turn.write() is None
    reading, text = redis.read(live)
    assert (reading.ended, text) == (True, "text")
