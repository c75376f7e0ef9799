import json
from typing import Any

import pytest

from parley_inference.models.wire.chunk_parser import ChunkParser, ParsedChunk, TokenCounts

MAX_EVENT_BYTES = 4096


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
    parser = ChunkParser(MAX_EVENT_BYTES)
    return [*(parser.feed(data) for data in received), parser.close()]


def text_of(parsed: list[ParsedChunk]) -> str:
    return "".join(each.text for each in parsed)


def error_of(parsed: list[ParsedChunk]) -> str | None:
    return next((each.error.code for each in parsed if each.error), None)


STREAM = (
    b"\xef\xbb\xbf: hello\n\n"
    + chunks(chunk("", None), chunk("Grüße, "), chunk("😀"))
    + b"event: message\r\nid: 7\r\nretry: 10\r\ndata:"
    + chunk("!").encode()
    + b"\r\n\r\n: still here\r\n\r\n"
    + b'data: {"choices": [{"delta":\ndata: {"content": "?"}}]}\n\n'
    + chunks(chunk(None, "length"), usage(3, 4), "[DONE]")
)


def test_a_stream_parses_the_same_wherever_it_is_split() -> None:
    for cut in range(len(STREAM) + 1):
        assert_whole(read(STREAM[:cut], STREAM[cut:]))


def test_a_stream_parses_the_same_byte_by_byte() -> None:
    assert_whole(read(*(bytes((byte,)) for byte in STREAM)))


def assert_whole(parsed: list[ParsedChunk]) -> None:
    assert text_of(parsed) == "Grüße, 😀!?"
    assert error_of(parsed) is None
    assert [each.finish_reason for each in parsed if each.finish_reason] == ["length"]
    assert [each.tokens for each in parsed if each.tokens] == [TokenCounts(3, 4)]
    assert any(each.done for each in parsed)


def test_the_deltas_of_one_read_are_merged() -> None:
    [first, _] = read(chunks(chunk("a"), chunk("b"), chunk("c")))
    assert (first.text, first.events) == ("abc", 3)


def test_comments_do_not_count_as_events() -> None:
    [first, _] = read(b": processing\n\n")
    assert first.events == 0


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_lines_may_end_with_lf_crlf_or_cr(newline: bytes) -> None:
    lines = chunks(chunk("a"), chunk("b"), "[DONE]").replace(b"\n", newline)
    assert text_of(read(lines)) == "ab"
    assert text_of(read(*(bytes((byte,)) for byte in lines))) == "ab"


@pytest.mark.parametrize(
    ("upstream_reason", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "stop"),
        ("something new", "stop"),
    ],
)
def test_finish_reasons_are_mapped_to_three(upstream_reason: str, reason: str) -> None:
    assert read(chunks(chunk("a", upstream_reason)))[0].finish_reason == reason


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
def test_unknown_and_missing_fields_are_tolerated(event: str) -> None:
    parsed = read(chunks(event, chunk("a"), "[DONE]"))
    assert text_of(parsed) == "a"
    assert error_of(parsed) is None
    assert not any(each.tokens for each in parsed)


def test_unpaired_surrogates_are_passed_to_the_reply() -> None:
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
        b"data: " + b"x" * MAX_EVENT_BYTES + b"\n\n",
        b"x" * (MAX_EVENT_BYTES + 1),
        b"data: 1\n" * MAX_EVENT_BYTES,
    ],
)
def test_an_invalid_event_is_an_error_after_the_text_before_it(event: bytes) -> None:
    parsed = read(chunks(chunk("kept")) + event)
    assert parsed[0].text == "kept"
    assert error_of(parsed[:1]) == "upstream_garbage"
    assert parsed[0].error is not None
    assert not parsed[0].error.transient


@pytest.mark.parametrize("body", [b"<html><body>Hello</body></html>", b'{"choices": []}', b"x\n\n"])
def test_a_response_without_events_is_invalid(body: bytes) -> None:
    assert error_of(read(body)) == "upstream_garbage"


def test_an_empty_response_is_not_invalid() -> None:
    assert error_of(read()) is None


def test_a_truncated_last_event_is_dropped() -> None:
    parsed = read(chunks(chunk("a")) + b'data: {"choices": [{"delta": {"cont')
    assert text_of(parsed) == "a"
    assert error_of(parsed) is None


def test_the_last_event_needs_no_blank_line() -> None:
    *_, last = read(chunks(chunk("a")), b"data: [DONE]")
    assert last.done


def test_data_after_done_is_ignored() -> None:
    [first, *_] = read(chunks(chunk("a"), "[DONE]", chunk("b"), "garbage"))
    assert (first.text, first.done, first.error) == ("a", True, None)


@pytest.mark.parametrize(
    ("event", "code", "transient"),
    [
        ('{"error": {"message": "slow down", "code": 429}}', "upstream_rate_limited", True),
        ('{"error": {"message": "too long", "code": 400}}', "upstream_refused", False),
        ('{"error": {"message": "oh", "code": "server_error"}}', "upstream_unavailable", True),
        ('{"error": {"status": 503}}', "upstream_unavailable", True),
        ('{"error": "oh"}', "upstream_unavailable", True),
        ('{"object": "error", "message": "oh", "code": 400}', "upstream_refused", False),
    ],
)
def test_an_error_in_the_stream_is_mapped_by_its_status(
    event: str, code: str, transient: bool
) -> None:
    [first, _] = read(chunks(chunk("kept"), event))
    assert first.error is not None
    assert (first.text, first.error.code, first.error.transient) == ("kept", code, transient)
