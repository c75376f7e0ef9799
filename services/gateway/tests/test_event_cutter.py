"""Whole events from bytes that are split anywhere, and the place that they reach."""

import pytest

from parley_contracts import turn_sse as sse
from parley_gateway.turns.event_cutter import TurnEventFramer
from parley_gateway.turns.sse_framing import MalformedEventStream

SENT = sse.delta("é\n\nid: 7\n", 9) + sse.HEARTBEAT + sse.delta("b", 10) + b"id: end\ndata: {}\n\n"


def test_bytes_come_out_as_they_went_in_and_always_after_a_whole_event():
    for size in range(1, len(SENT) + 1):
        cutter, out = TurnEventFramer(0, 1_000), b""
        for at in range(0, len(SENT), size):
            out += cutter.feed(SENT[at : at + size])
            assert out == b"" or out.endswith(b"\n\n")
        assert out == SENT
        assert cutter.ended


def test_the_place_is_that_of_the_last_whole_event():
    cutter = TurnEventFramer(3, 1_000)
    cutter.feed(b"id: 5\ndata: {}\n")
    assert cutter.place == 3
    cutter.feed(b"\nid: 8\ndata: {}\n\nid: 9")
    assert (cutter.place, cutter.ended) == (8, False)
    cutter.feed(b"\ndata: {}\n\n" + sse.HEARTBEAT)
    assert cutter.place == 9


def test_comments_alone_move_nothing():
    cutter = TurnEventFramer(3, 1_000)
    assert cutter.feed(sse.HEARTBEAT) == sse.HEARTBEAT
    assert (cutter.place, cutter.ended) == (3, False)


@pytest.mark.parametrize("place", [b"", b"x", b"-1", b"1.5", b"ended", "٣".encode()])
def test_an_id_that_is_no_place_is_unusable(place):
    with pytest.raises(MalformedEventStream):
        TurnEventFramer(0, 1_000).feed(b"id: " + place + b"\ndata: {}\n\n")


def test_an_event_over_the_limit_is_unusable_before_it_is_whole():
    cutter = TurnEventFramer(0, 100)
    assert cutter.feed(b"data: " + b"x" * 94) == b""
    with pytest.raises(MalformedEventStream):
        cutter.feed(b"x")
