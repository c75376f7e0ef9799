"""`parley chat` over real HTTP: what is typed in a pipe, and what comes out."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

import httpx2
import pytest
from cli_peers.gateway import Gateway

from parley_cli.__main__ import main
from parley_cli.chat import command
from parley_cli.chat.client import REPLY_ATTEMPTS, ChatApi, ChatError
from parley_cli.chat.sse_events import Delta, Ended, events
from parley_cli.engines import free_port


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway().serving() as gateway:
        yield gateway


@pytest.fixture
def api(gateway: Gateway) -> Iterator[ChatApi]:
    with httpx2.Client(base_url=gateway.url) as client:
        yield ChatApi(client, first_pause=0.001)


class Typing:
    """Types lines into `parley chat`; its output and what it said about the chat."""

    def __init__(self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
        self._gateway, self._monkeypatch = gateway, monkeypatch

    def __call__(self, *lines: str, options: Sequence[str] = ()) -> int:
        self._monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return main(["chat", "--url", self._gateway.url, "--token", "T", *options])


@pytest.fixture
def typed(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Typing:
    return Typing(gateway, monkeypatch)


def test_each_line_is_a_message_and_only_replies_come_out(
    gateway: Gateway, typed: Typing, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("one", "", "two") == 0
    assert capsys.readouterr().out == f"{gateway.reply}\n" * 2
    [session] = gateway.sessions.values()
    assert session["assistant_id"] == "helper"
    assert [m["content"] for m in gateway.said[session["id"]][::2]] == ["one", "two"]
    assert gateway.tokens == {"Bearer T"}


def test_history_shows_both_sides_oldest_first(
    gateway: Gateway, typed: Typing, capsys: pytest.CaptureFixture[str]
) -> None:
    typed("one", "/history", options=["--assistant", "coder"])
    shown = capsys.readouterr().out
    assert shown == f"{gateway.reply}\nyou: one\nCoder: {gateway.reply}\n"


@pytest.mark.parametrize("wanted", ["coder", "Coder", "2"])
def test_switch_goes_to_an_assistant_by_id_name_or_number_and_back_to_the_same_session(
    gateway: Gateway, typed: Typing, wanted: str
) -> None:
    assert typed("one", f"/switch {wanted}", "two", "/switch helper", "three") == 0
    said = {s["assistant_id"]: gateway.said[s["id"]] for s in gateway.sessions.values()}
    assert [m["content"] for m in said["helper"][::2]] == ["one", "three"]
    assert [m["content"] for m in said["coder"][::2]] == ["two"]


def test_new_starts_a_session_with_the_same_assistant(gateway: Gateway, typed: Typing) -> None:
    typed("one", "/new", "two", options=["--assistant", "coder"])
    assert [s["assistant_id"] for s in gateway.sessions.values()] == ["coder", "coder"]


def test_a_session_is_resumed_with_its_last_messages(
    gateway: Gateway, typed: Typing, capsys: pytest.CaptureFixture[str]
) -> None:
    session = gateway.session_with("coder")
    gateway.said[session["id"]] = [{"role": "user", "content": "said long ago"}]
    typed("and now", options=["--session", session["id"]])
    assert "you: said long ago" in capsys.readouterr().err
    assert gateway.said[session["id"]][1]["content"] == "and now"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/nope", "There is no /nope; /help says what there is."),
        ("/switch nobody", "There is no assistant nobody; there are helper, coder."),
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_the_chat_goes_on(
    gateway: Gateway,
    typed: Typing,
    capsys: pytest.CaptureFixture[str],
    line: str,
    sentence: str,
) -> None:
    assert typed(line, "one", "/quit", "two") == 1
    output = capsys.readouterr()
    assert sentence in output.err
    assert output.out == f"{gateway.reply}\n"


def test_what_is_no_utf8_is_sent_with_replacement_characters(
    gateway: Gateway, typed: Typing
) -> None:
    assert typed(b"caf\xe9".decode(errors="surrogateescape")) == 0
    [session] = gateway.sessions
    assert gateway.said[session][0]["content"] == "caf\ufffd"


def test_a_token_that_fits_in_no_header_is_a_sentence(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    for token in ("é", "a\nb"):
        assert main(["chat", "--url", gateway.url, "--token", token]) == 1
        assert capsys.readouterr().err == "The token has characters that no token has.\n"


def test_a_pipe_that_is_closed_ends_the_chat_without_a_word(gateway: Gateway) -> None:
    options = ["--url", gateway.url, "--token", "T", "--assistant", "helper"]
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "parley_cli", "chat", *options],
        input=b"one\n",
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    os.close(writing)
    assert ended.returncode == 1
    assert b"Traceback" not in ended.stderr
    assert b"BrokenPipe" not in ended.stderr


def test_a_failed_reply_says_why(
    gateway: Gateway, typed: Typing, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.outcome = "failed"
    assert typed("one") == 1
    assert "The model server refused." in capsys.readouterr().err


def test_a_refusal_is_told_in_the_gateways_words(
    gateway: Gateway, typed: Typing, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.refusals = [409]
    assert typed("one") == 1
    assert "Refused with 409." in capsys.readouterr().err


def test_nothing_at_the_address_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert command.chat(url=url, token="T", user="you", assistant=None, session=None) == 1
    assert capsys.readouterr().err.startswith(f"Nothing answers at {url}: `parley up` starts it")


@pytest.mark.parametrize("breaks", [[1], [4], [3, 7, 2, 9]])
def test_a_broken_stream_is_taken_up_with_the_same_key_and_nothing_comes_twice(
    gateway: Gateway, api: ChatApi, breaks: list[int]
) -> None:
    session, gateway.breaks = gateway.session_with("helper"), list(breaks)
    parts = list(api.reply(session["id"], "hello"))
    assert "".join(part.text for part in parts if isinstance(part, Delta)) == gateway.reply
    assert parts[-1] == Ended(version=4, trouble=None)
    assert len(gateway.keys) == len(breaks) + 1
    assert len(set(gateway.keys)) == 1


def test_what_passes_is_tried_again(gateway: Gateway, api: ChatApi) -> None:
    session, gateway.refusals = gateway.session_with("helper"), [503, 502]
    assert list(api.reply(session["id"], "hello"))[-1] == Ended(version=4, trouble=None)
    assert len(set(gateway.keys)) == 1


def test_a_stream_that_never_gets_further_is_given_up(gateway: Gateway, api: ChatApi) -> None:
    session, gateway.breaks = gateway.session_with("helper"), [2] * REPLY_ATTEMPTS
    with pytest.raises(ChatError, match="broke off"):
        list(api.reply(session["id"], "hello"))
    assert gateway.breaks == []


def test_events_are_read_however_the_bytes_are_cut() -> None:
    sent = b': hi\n\nid: 1\ndata: {"a":"\xe2\x80\xa8"}\n\ndata: {"b":\r\ndata: 2}\r\n\r\ndata: {"c'
    for size in range(1, len(sent)):
        chunks = [sent[start : start + size] for start in range(0, len(sent), size)]
        assert list(events(chunks)) == [{"a": "\u2028"}, {"b": 2}]
