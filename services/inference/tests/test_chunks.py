import json
from typing import Any

import pytest

from parley_inference.models.wire.chunk_parser import ChunkParser, ParsedChunk, TokenCounts

MOST = 4096


def chunk(text: str | None = None, finish_reason: str | None = None, **more: Any) -> str:
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
    return json.dumps({"id": "x", "object": "chat.completion.chunk", "choices": [choice], **more})


def chunks(*events: str) -> bytes:
    return "".join(f"data: {event}\n\n" for event in events).encode()


def usage(prompt: Any, completion: Any) -> str:
    counted = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": 0}
    return json.dumps({"choices": [], "usage": counted})


def read(*received: bytes) -> list[ParsedChunk]:
    reader = ChunkParser(MOST)
    return [*(reader.feed(data) for data in received), reader.close()]


def text_of(pieces: list[ParsedChunk]) -> str:
    return "".join(piece.text for piece in pieces)


def trouble_of(pieces: list[ParsedChunk]) -> str | None:
    return next((piece.trouble.code for piece in pieces if piece.trouble), None)


STREAM = (
    b"\xef\xbb\xbf: hello\n\n"
    + chunks(chunk("", None), chunk("Grüße, "), chunk("😀"))
    + b"event: message\r\nid: 7\r\nretry: 10\r\ndata:"
    + chunk("!").encode()
    + b"\r\n\r\n: still here\r\n\r\n"
    + b'data: {"choices": [{"delta":\ndata: {"content": "?"}}]}\n\n'
    + chunks(chunk(None, "length"), usage(3, 4), "[DONE]")
)


def test_a_stream_means_the_same_wherever_it_is_split() -> None:
    for place in range(len(STREAM) + 1):
        assert_whole(read(STREAM[:place], STREAM[place:]))


def test_a_stream_means_the_same_byte_by_byte() -> None:
    assert_whole(read(*(bytes((byte,)) for byte in STREAM)))


def assert_whole(pieces: list[ParsedChunk]) -> None:
    assert text_of(pieces) == "Grüße, 😀!?"
    assert trouble_of(pieces) is None
    assert [piece.finish_reason for piece in pieces if piece.finish_reason] == ["length"]
    assert [piece.tokens for piece in pieces if piece.tokens] == [TokenCounts(3, 4)]
    assert any(piece.done for piece in pieces)


def test_the_deltas_of_one_read_come_as_one_piece() -> None:
    [piece, _] = read(chunks(chunk("a"), chunk("b"), chunk("c")))
    assert (piece.text, piece.chunks) == ("abc", 3)


def test_comments_are_no_chunks() -> None:
    [piece, _] = read(b": processing\n\n")
    assert piece.chunks == 0


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_lines_end_in_any_of_three_ways(newline: bytes) -> None:
    lines = chunks(chunk("a"), chunk("b"), "[DONE]").replace(b"\n", newline)
    assert text_of(read(lines)) == "ab"
    assert text_of(read(*(bytes((byte,)) for byte in lines))) == "ab"


@pytest.mark.parametrize(
    ("reason", "meaning"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "stop"),
        ("something new", "stop"),
    ],
)
def test_a_finish_reason_is_one_of_three(reason: str, meaning: str) -> None:
    assert read(chunks(chunk("a", reason)))[0].finish_reason == meaning


@pytest.mark.parametrize(
    "event",
    [
        "{}",
        '{"choices": null}',
        '{"choices": [{}]}',
        '{"choices": [{"delta": null, "index": null}]}',
        '{"choices": [{"delta": {"content": null, "tool_calls": [1]}}], "unknown": {"x": []}}',
        '{"choices": [{"index": 1, "delta": {"content": "another choice"}}]}',
        '{"choices": [], "usage": "none"}',
        usage(-1, 2),
        usage(None, 2),
        usage(1.5, 2),
        usage(2**53 + 1, 2),
        "",
    ],
)
def test_what_is_unknown_or_left_out_is_tolerated(event: str) -> None:
    pieces = read(chunks(event, chunk("a"), "[DONE]"))
    assert text_of(pieces) == "a"
    assert trouble_of(pieces) is None
    assert not any(piece.tokens for piece in pieces)


def test_half_a_surrogate_pair_is_kept_for_the_reply_to_join() -> None:
    first, second, _ = read(
        b'data: {"choices": [{"delta": {"content": "a\\ud83d"}}]}\n\n',
        b'data: {"choices": [{"delta": {"content": "\\ude00"}}]}\n\n',
    )
    assert (first.text, second.text) == ("a\ud83d", "\ude00")


@pytest.mark.parametrize(
    "event",
    [
        b"data: {\n\n",
        b"data: hello\n\n",
        b"data: []\n\n",
        b'data: {"choices": 7}\n\n',
        b'data: {"choices": [{"delta": {"content": 7}}]}\n\n',
        b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n',
        b'data: {"usage": ' + b"[" * 3000 + b"\n\n",
        b"data: " + b"x" * MOST + b"\n\n",
        b"x" * (MOST + 1),
        b"data: 1\n" * MOST,
    ],
)
def test_garbage_is_one_typed_failure_after_the_text_before_it(event: bytes) -> None:
    pieces = read(chunks(chunk("kept")) + event)
    assert pieces[0].text == "kept"
    assert trouble_of(pieces[:1]) == "upstream_garbage"
    assert not pieces[0].trouble.passing


@pytest.mark.parametrize("body", [b"<html><body>Hello</body></html>", b'{"choices": []}', b"x\n\n"])
def test_an_answer_without_any_event_is_garbage(body: bytes) -> None:
    assert trouble_of(read(body)) == "upstream_garbage"


def test_an_empty_answer_is_not_garbage() -> None:
    assert trouble_of(read()) is None


def test_an_event_cut_short_is_left_out() -> None:
    pieces = read(chunks(chunk("a")) + b'data: {"choices": [{"delta": {"cont')
    assert text_of(pieces) == "a"
    assert trouble_of(pieces) is None


def test_the_last_event_needs_no_blank_line() -> None:
    *_, last = read(chunks(chunk("a")), b"data: [DONE]")
    assert last.done


def test_what_follows_the_end_is_ignored() -> None:
    [piece, *_] = read(chunks(chunk("a"), "[DONE]", chunk("b"), "garbage"))
    assert (piece.text, piece.done, piece.trouble) == ("a", True, None)


@pytest.mark.parametrize(
    ("event", "code", "passing"),
    [
        ('{"error": {"message": "slow down", "code": 429}}', "upstream_rate_limited", True),
        ('{"error": {"message": "too long", "code": 400}}', "upstream_refused", False),
        ('{"error": {"message": "oh", "code": "server_error"}}', "upstream_unavailable", True),
        ('{"error": {"status": 503}}', "upstream_unavailable", True),
        ('{"error": "oh"}', "upstream_unavailable", True),
        ('{"object": "error", "message": "oh", "code": 400}', "upstream_refused", False),
    ],
)
def test_an_error_in_the_stream_is_what_its_status_means(
    event: str, code: str, passing: bool
) -> None:
    [piece, _] = read(chunks(chunk("kept"), event))
    assert (piece.text, piece.trouble.code, piece.trouble.passing) == ("kept", code, passing)
