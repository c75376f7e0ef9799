"""Framing of turn events: whole events, and the id of the last one."""

from typing import Any

import pytest

from parley_contracts import turn_sse as sse
from parley_core.streaming.sse import SSEEventTooLarge
from parley_gateway.turns.sse_framing import MalformedEventStream, TurnEventFramer

SENT = sse.delta("é\n\nid: 7\n", 9) + sse.HEARTBEAT + sse.delta("b", 10) + b"data: {}\nid: end\n\n"


def test_the_framer_returns_unchanged_bytes_in_whole_events() -> None:
    for size in range(1, len(SENT) + 1):
        framer, out = TurnEventFramer(0, 1_000), b""
        for at in range(0, len(SENT), size):
            out += framer.feed(SENT[at : at + size])
            assert out == b"" or out.endswith(b"\n\n")
        assert out == SENT
        assert framer.ended


def test_the_last_event_id_is_that_of_the_last_whole_event() -> None:
    framer = TurnEventFramer(3, 1_000)
    framer.feed(b"data: {}\nid: 5\n")
    assert framer.last_event_id == 3
    framer.feed(b"\ndata: {}\nid: 8\n\ndata: {}\nid: 9")
    assert (framer.last_event_id, framer.ended) == (8, False)
    framer.feed(b"\n\n" + sse.HEARTBEAT)
    assert framer.last_event_id == 9


def test_comments_do_not_change_the_last_event_id() -> None:
    framer = TurnEventFramer(3, 1_000)
    assert framer.feed(sse.HEARTBEAT) == sse.HEARTBEAT
    assert (framer.last_event_id, framer.ended) == (3, False)


@pytest.mark.parametrize("event_id", [b"", b"x", b"-1", b"1.5", b"ended", "٣".encode()])
def test_an_invalid_event_id_is_an_error(event_id: Any) -> None:
    with pytest.raises(MalformedEventStream):
        TurnEventFramer(0, 1_000).feed(b"data: {}\nid: " + event_id + b"\n\n")


def test_an_oversized_event_is_an_error_before_it_is_complete() -> None:
    framer = TurnEventFramer(0, 100)
    assert framer.feed(b"data: " + b"x" * 94) == b""
    with pytest.raises(SSEEventTooLarge):
        framer.feed(b"x")
