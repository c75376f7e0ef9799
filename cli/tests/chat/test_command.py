"""`parley chat` in a pipe, against a fake gateway over HTTP."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

import httpx2
import pytest
from cli_fakes.gateway import FakeGateway

from parley_cli.__main__ import main
from parley_cli.chat.client import MAX_REPLY_ATTEMPTS, ChatClient, ChatError
from parley_cli.chat.sse_events import ReplyDelta, ReplyEnded, events
from parley_cli.engines import free_port


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway().serving() as gateway:
        yield gateway


@pytest.fixture
def client(gateway: FakeGateway) -> Iterator[ChatClient]:
    with httpx2.Client(base_url=gateway.url) as http:
        yield ChatClient(http, initial_delay_seconds=0.001)


class PipedChat:
    """Runs `parley chat` with the given lines as its standard input."""

    def __init__(self, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
        self._gateway, self._monkeypatch = gateway, monkeypatch

    def __call__(self, *lines: str, options: Sequence[str] = ()) -> int:
        self._monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return main(["chat", "--url", self._gateway.url, "--token", "T", *options])


@pytest.fixture
def chat(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> PipedChat:
    return PipedChat(gateway, monkeypatch)


def test_each_line_is_a_message_and_only_replies_are_written_to_standard_output(
    gateway: FakeGateway, chat: PipedChat, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chat("one", "", "two") == 0
    assert capsys.readouterr().out == f"{gateway.reply}\n" * 2
    [session] = gateway.sessions.values()
    assert session["assistant_id"] == "helper"
    assert [m["content"] for m in gateway.messages[session["id"]][::2]] == ["one", "two"]
    assert gateway.tokens == {"Bearer T"}


def test_piped_input_starts_a_new_session(gateway: FakeGateway, chat: PipedChat) -> None:
    earlier = gateway.session_with("helper")
    assert chat("one") == 0
    assert gateway.messages[earlier["id"]] == []
    assert len(gateway.sessions) == 2


def test_sessions_lists_the_latest_first_and_continues_one_by_number_or_id(
    gateway: FakeGateway, chat: PipedChat, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = gateway.session_with("helper"), gateway.session_with("coder")
    second["title"] = "A bug"
    lines = ["/sessions", "/sessions 2", "one", f"/sessions {first['id']}", "two", "/sessions 9"]
    assert chat(*lines) == 1
    listed = [line for line in capsys.readouterr().err.splitlines() if line[:3] in (" 2.", " 3.")]
    assert [line.split("  ")[-2:] for line in listed] == [
        ["Coder", "A bug"],
        ["Helper", first["id"]],
    ]
    sent = {
        session: [m["content"] for m in gateway.messages[session]] for session in gateway.sessions
    }
    assert "one" in sent[second["id"]]
    assert "two" in sent[first["id"]]


def test_history_shows_both_sides_oldest_first(
    gateway: FakeGateway, chat: PipedChat, capsys: pytest.CaptureFixture[str]
) -> None:
    chat("one", "/history", options=["--assistant", "coder"])
    assert capsys.readouterr().out == f"{gateway.reply}\nyou: one\nCoder: {gateway.reply}\n"


@pytest.mark.parametrize("argument", ["coder", "Coder", "2"])
def test_switch_finds_an_assistant_by_id_name_or_number_and_returns_to_the_same_session(
    gateway: FakeGateway, chat: PipedChat, argument: str
) -> None:
    lines = ("one", f"/switch {argument}", "two", "/switch helper", "three")
    assert chat(*lines) == 0
    messages = {s["assistant_id"]: gateway.messages[s["id"]] for s in gateway.sessions.values()}
    assert [m["content"] for m in messages["helper"][::2]] == ["one", "three"]
    assert [m["content"] for m in messages["coder"][::2]] == ["two"]


def test_new_starts_a_session_with_the_same_assistant(
    gateway: FakeGateway, chat: PipedChat
) -> None:
    chat("one", "/new", "two", options=["--assistant", "coder"])
    assert [s["assistant_id"] for s in gateway.sessions.values()] == ["coder", "coder"]


def test_a_session_is_resumed_with_its_last_messages(
    gateway: FakeGateway, chat: PipedChat, capsys: pytest.CaptureFixture[str]
) -> None:
    session = gateway.session_with("coder")
    gateway.messages[session["id"]] = [{"role": "user", "content": "long ago"}]
    chat("and now", options=["--session", session["id"]])
    assert "you: long ago" in capsys.readouterr().err
    assert gateway.messages[session["id"]][1]["content"] == "and now"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/nope", "Unknown command /nope; type /help for a list."),
        ("/switch nobody", "Unknown assistant nobody; available: helper, coder."),
    ],
)
def test_a_failed_command_prints_a_sentence_and_the_chat_continues(
    gateway: FakeGateway,
    chat: PipedChat,
    capsys: pytest.CaptureFixture[str],
    line: str,
    sentence: str,
) -> None:
    assert chat(line, "one", "/quit", "two") == 1
    output = capsys.readouterr()
    assert sentence in output.err
    assert output.out == f"{gateway.reply}\n"


def test_invalid_utf8_is_sent_with_replacement_characters(
    gateway: FakeGateway, chat: PipedChat
) -> None:
    assert chat(b"caf\xe9".decode(errors="surrogateescape")) == 0
    [session] = gateway.sessions
    assert gateway.messages[session][0]["content"] == "caf\ufffd"


def test_a_token_that_fits_in_no_header_is_rejected_with_a_sentence(
    gateway: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    for token in ("é", "a\nb"):
        assert main(["chat", "--url", gateway.url, "--token", token]) == 1
        assert (
            capsys.readouterr().err
            == "The token is invalid: it should have printable ASCII characters only.\n"
        )


def test_a_closed_pipe_ends_the_chat_silently(gateway: FakeGateway) -> None:
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


def test_a_failed_reply_prints_its_error(
    gateway: FakeGateway, chat: PipedChat, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.outcome = "failed"
    assert chat("one") == 1
    assert "The model server failed." in capsys.readouterr().err


def test_an_error_of_the_gateway_is_printed_in_its_words(
    gateway: FakeGateway, chat: PipedChat, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.rejections = [409]
    assert chat("one") == 1
    assert "Rejected with 409." in capsys.readouterr().err


def test_an_unreachable_gateway_is_reported(
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert main(["chat", "--url", url, "--token", "T"]) == 1
    assert capsys.readouterr().err.startswith(
        f"No gateway answers at {url}: start one with `parley up`"
    )


@pytest.mark.parametrize("cuts", [[1], [4], [3, 7, 2, 9]])
def test_an_interrupted_stream_resumes_with_the_same_key_and_repeats_nothing(
    gateway: FakeGateway, client: ChatClient, cuts: list[int]
) -> None:
    session, gateway.cuts = gateway.session_with("helper"), list(cuts)
    parts = list(client.reply(session["id"], "hello"))
    assert "".join(part.text for part in parts if isinstance(part, ReplyDelta)) == gateway.reply
    assert parts[-1] == ReplyEnded(version=4, error=None)
    assert len(gateway.keys) == len(cuts) + 1
    assert len(set(gateway.keys)) == 1


def test_transient_errors_are_retried(gateway: FakeGateway, client: ChatClient) -> None:
    session, gateway.rejections = gateway.session_with("helper"), [503, 502]
    assert list(client.reply(session["id"], "hello"))[-1] == ReplyEnded(version=4, error=None)
    assert len(set(gateway.keys)) == 1


def test_a_stream_without_progress_is_given_up(gateway: FakeGateway, client: ChatClient) -> None:
    session, gateway.cuts = gateway.session_with("helper"), [2] * MAX_REPLY_ATTEMPTS
    with pytest.raises(ChatError, match="was lost"):
        list(client.reply(session["id"], "hello"))
    assert gateway.cuts == []


def test_a_lost_connection_is_reported_and_the_chat_continues(
    gateway: FakeGateway,
    chat: PipedChat,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("parley_cli.chat.client.backoff_delay", lambda *_: 0)
    gateway.cuts = [2] * MAX_REPLY_ATTEMPTS
    assert chat("one", "two") == 1
    output = capsys.readouterr()
    assert f"The connection to {gateway.url} was lost." in output.err.splitlines()
    assert output.out.endswith(f"{gateway.reply}\n")
    [messages] = gateway.messages.values()
    assert [message["content"] for message in messages] == ["two", gateway.reply]


def test_events_are_parsed_however_the_bytes_are_split() -> None:
    sent = b': hi\n\nid: 1\ndata: {"a":"\xe2\x80\xa8"}\n\ndata: {"b":\r\ndata: 2}\r\n\r\ndata: {"c'
    for size in range(1, len(sent)):
        chunks = [sent[start : start + size] for start in range(0, len(sent), size)]
        assert list(events(chunks)) == [{"a": "\u2028"}, {"b": 2}]
