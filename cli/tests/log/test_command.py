"""`parley log tail` as a process: exit codes, pipes and error messages."""

import asyncio
import signal
from collections.abc import Mapping

import pytest
from cli_fakes.conversation import FakeConversation, append

from parley_core.log import Brokers, ensure_topic
from parley_events.topics import SESSIONS_TOPIC, TopicSpec
from parley_testing.processes import started


@pytest.fixture
async def settings(kafka_bootstrap: str) -> Mapping[str, str]:
    """A log with at least 40 events."""
    brokers = Brokers(kafka_bootstrap)
    await ensure_topic(brokers, TopicSpec(SESSIONS_TOPIC, 12, 1, 1))
    conversation = FakeConversation()
    for _ in range(40):
        conversation.submitted("Hello")
    await append(brokers, SESSIONS_TOPIC, conversation.records)
    return {"PARLEY_KAFKA": kafka_bootstrap}


async def parley(settings: Mapping[str, str], *arguments: str) -> asyncio.subprocess.Process:
    return await started("parley_cli", "log", "tail", *arguments, **settings)


async def test_ctrl_c_ends_tail_without_a_traceback(settings: Mapping[str, str]) -> None:
    following = await parley(settings, "--follow")
    assert following.stdout is not None
    async with asyncio.timeout(15):
        lines = [await following.stdout.readline() for _ in range(20)]
    assert all(b"message_submitted" in line for line in lines)
    following.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(following.communicate(), 10)
    assert (following.returncode, out, err) == (130, b"", b"")


async def test_a_closed_pipe_ends_tail_with_success(settings: Mapping[str, str]) -> None:
    tail = await parley(settings, "--since", "2020-01-01", "--follow")
    assert tail.stdout is not None
    async with asyncio.timeout(15):
        await tail.stdout.readline()
        # Like `| head -1`.
        tail.stdout._transport.close()  # type: ignore[attr-defined]
        await append(Brokers(settings["PARLEY_KAFKA"]), SESSIONS_TOPIC, FakeConversation().records)
        assert tail.stderr is not None
        assert await tail.stderr.read() == b""
        assert await tail.wait() == 0


async def test_content_without_a_session_service_names_the_missing_variable(
    settings: Mapping[str, str],
) -> None:
    failed = await parley(settings, "--content")
    out, err = await asyncio.wait_for(failed.communicate(), 15)
    assert (failed.returncode, out) == (1, b"")
    assert b"set PARLEY_SESSION_URL" in err


async def test_an_unreachable_kafka_is_reported_in_one_line(settings: Mapping[str, str]) -> None:
    failed = await parley({"PARLEY_KAFKA": "127.0.0.1:1"})
    _, err = await asyncio.wait_for(failed.communicate(), 20)
    assert failed.returncode == 1
    [line] = err.decode().splitlines()
    assert line.startswith("The log parley.sessions.v1 cannot be read: ")
