import json

import pytest

from parley_inference.streaming.reply_text import ReplyText

LARGE = 512 * 1024


def reply_of(*parts: str, max_json_bytes: int = LARGE) -> ReplyText:
    reply = ReplyText(max_json_bytes)
    for part in parts:
        reply.append(part)
    return reply


def test_parts_are_joined_and_measured_in_code_points() -> None:
    reply = reply_of("Hel", "", "lo ", "👋🏽", "é")
    assert reply.since(0) == "Hello 👋🏽é"
    assert reply.length == len("Hello 👋🏽é") == 9


def test_the_text_after_any_position_is_exact() -> None:
    text = "a😀bc\u0301d👩‍👩‍👧e"
    for cut in range(len(text) + 1):
        reply = reply_of(text[:cut], text[cut:])
        assert [reply.since(position) for position in range(len(text) + 1)] == [
            text[position:] for position in range(len(text) + 1)
        ]


def test_no_text_follows_a_position_beyond_the_end() -> None:
    assert reply_of("abc").since(7) == ""


def test_append_returns_whether_text_became_readable() -> None:
    reply = ReplyText(LARGE)
    assert [reply.append(text) for text in ("a", "", "\ud83d", "\ude00")] == [
        True,
        False,
        False,
        True,
    ]


def test_an_unpaired_surrogate_waits_for_its_other_half() -> None:
    reply = reply_of("a\ud83d")
    assert reply.since(0) == "a"
    reply.append("\ude00b")
    assert reply.since(0) == "a😀b"


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (("\ud83d", "x"), "\ufffdx"),
        (("\ude00x",), "\ufffdx"),
        (("\ud83d", "\ud83d\ude00"), "\ufffd😀"),
        (("\ud83d\ud83d", "\ude00"), "\ufffd😀"),
        (("x\ud83d",), "x\ufffd"),
        (("😀", "\ude00\ud83d", ""), "😀\ufffd\ufffd"),
    ],
)
def test_an_unpaired_surrogate_that_stays_alone_is_replaced(
    parts: tuple[str, ...], whole: str
) -> None:
    reply = reply_of(*parts)
    reply.close()
    assert reply.since(0) == whole


def test_close_returns_whether_a_pending_surrogate_became_readable() -> None:
    assert reply_of("a\ud83d").close()
    assert not reply_of("a").close()


@pytest.mark.parametrize("text", ["a" * 40, "é" * 40, "😀" * 40, '"\\' * 20, "\n\x00\x7f" * 20])
@pytest.mark.parametrize("size", [2, 9, 16, 17, 18, 19, 20, 21, 30])
def test_a_reply_is_cut_at_the_last_code_point_that_fits(text: str, size: int) -> None:
    reply = reply_of(*text, max_json_bytes=size)
    appended_whole = reply_of(text, max_json_bytes=size)
    assert reply.full
    assert appended_whole.full
    assert reply.since(0) == appended_whole.since(0) == text[: reply.length]
    assert json_bytes(text[: reply.length]) <= size < json_bytes(text[: reply.length + 1])


def test_a_reply_of_exactly_the_limit_is_not_cut() -> None:
    reply = reply_of("a" * 14, max_json_bytes=16)
    assert not reply.full
    assert reply.length == 14


def test_a_full_reply_accepts_no_more_text_even_if_it_would_fit() -> None:
    reply = reply_of("a" * 12, "😀", "a", "\ud83d", max_json_bytes=16)
    assert not reply.close()
    assert reply.since(0) == "a" * 12


def json_bytes(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode())
