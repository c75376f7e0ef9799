"""`parley chat` in a terminal: sessions, and Ctrl-C while a reply is drawn."""

import subprocess  # noqa: F401 - marks the tier of these tests: they start processes
from collections.abc import Iterator

import pytest
from cli_fakes.gateway import FakeGateway
from cli_fakes.terminal import Terminal, left_on_screen, running_in_terminal

PROMPT = "you> "


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway().serving() as gateway:
        yield gateway


def chat_options(gateway: FakeGateway, *options: str) -> list[str]:
    return ["chat", "--url", gateway.url, "--token", "T", "--assistant", "helper", *options]


def quit_chat(terminal: Terminal) -> None:
    terminal.type("/quit\n")
    assert terminal.wait_for_end() == 0


def test_ctrl_c_stops_showing_a_reply_and_tears_no_line(gateway: FakeGateway) -> None:
    gateway.reply = "One two three four five."
    gateway.pause_after = 6
    with running_in_terminal(*chat_options(gateway)) as terminal:
        terminal.wait_for(PROMPT)
        terminal.type("Count\n")
        terminal.wait_for("One two thr")
        terminal.type("\x03")
        terminal.wait_for("The server completes the reply")
        terminal.wait_for(PROMPT)
        quit_chat(terminal)
    shown = left_on_screen(terminal.written)
    assert "^C" not in shown
    lines = [line.strip() for line in shown.splitlines() if line.strip()]
    reply = lines.index("Helper")
    assert lines[reply + 1] in gateway.reply
    assert lines[reply + 2].startswith("The server completes the reply")
    assert lines[reply + 3 :] == [f"{PROMPT}/quit"]


def test_ctrl_c_at_the_prompt_ends_the_chat_and_its_line(gateway: FakeGateway) -> None:
    with running_in_terminal(*chat_options(gateway)) as terminal:
        terminal.wait_for(PROMPT)
        terminal.type("\x03")
        # Python handles a signal that comes just before it waits for a key only at the next one.
        assert terminal.wait_for_end("\x03") == 0
    assert terminal.written.endswith("\n")


@pytest.mark.parametrize(("options", "sessions"), [((), 1), (("--new",), 2)])
def test_a_chat_resumes_the_latest_session_unless_a_new_one_is_requested(
    gateway: FakeGateway, options: tuple[str, ...], sessions: int
) -> None:
    gateway.session_with("helper")
    with running_in_terminal(*chat_options(gateway, *options)) as terminal:
        terminal.wait_for(PROMPT)
        quit_chat(terminal)
    assert len(gateway.sessions) == sessions
