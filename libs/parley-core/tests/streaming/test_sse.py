import pytest

from parley_core.streaming.sse import SSEEventTooLarge, SSEFramer, SSEParser

EVENTS = (
    b': heartbeat\n\ndata: {"a": "\xc3\xa9"}\nid: 7\n\nid: 8\ndata:one\ndata: two\n\ndata: x\n\n'
)
PARSED = [
    '{"a": "é"}'.encode(),
    b"one\ntwo",
    b"x",
]


def parse(stream: bytes, size: int) -> list[bytes]:
    parser = SSEParser(1_000)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    return [event for piece in pieces for event in parser.feed(piece)]


@pytest.mark.parametrize("newline", [b"\n", b"\r", b"\r\n"])
def test_events_are_the_same_however_the_bytes_are_split(newline: bytes) -> None:
    stream = EVENTS.replace(b"\n", newline)
    for size in range(1, len(stream) + 1):
        # A CR at the end waits for a possible LF.
        assert parse(stream + b":", size) == PARSED


def test_a_byte_order_mark_at_the_beginning_is_skipped() -> None:
    assert parse(b"\xef\xbb\xbfdata: x\n\n", 100) == [b"x"]


def test_an_unfinished_event_is_not_yielded() -> None:
    assert parse(b"data: x\n\ndata: y\n", 100) == [b"x"]


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 1_000, b"data: " + b"x" * 400 + b"\n"])
def test_an_event_over_the_limit_raises_after_the_events_before_it(stream: bytes) -> None:
    parsed = SSEParser(900).feed(b"data: a\n\n" + 3 * stream)
    assert next(parsed) == b"a"
    with pytest.raises(SSEEventTooLarge):
        next(parsed)


def test_the_framer_returns_the_same_bytes_cut_after_whole_events() -> None:
    for size in range(1, len(EVENTS) + 1):
        framer, out = SSEFramer(1_000), b""
        for at in range(0, len(EVENTS), size):
            out += framer.feed(EVENTS[at : at + size])
            assert out == b"" or out.endswith(b"\n\n")
        assert out == EVENTS


def test_the_framer_rejects_an_event_over_the_limit_before_it_is_whole() -> None:
    framer = SSEFramer(100)
    assert framer.feed(b"data: " + b"x" * 94) == b""
    with pytest.raises(SSEEventTooLarge):
        framer.feed(b"x")
