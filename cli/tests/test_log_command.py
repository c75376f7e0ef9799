"""`parley log tail` as it is typed: its exit codes, its pipes, and what it needs for content."""

import asyncio
import signal
from collections.abc import Mapping

import pytest
from cli_peers.log import Conversation, append

from parley_core.log import Brokers, ensure_topic
from parley_events.topics import SESSIONS_TOPIC, TopicSpec
from parley_testing.processes import started


@pytest.fixture
async def settings(kafka_bootstrap: str) -> Mapping[str, str]:
    """A log with at least 40 events."""
    brokers = Brokers(kafka_bootstrap)
    await ensure_topic(brokers, TopicSpec(SESSIONS_TOPIC, 12, 1, 1))
    talk = Conversation()
    for _ in range(40):
        talk.said("Hello")
    await append(brokers, SESSIONS_TOPIC, talk.records)
    return {"PARLEY_KAFKA": kafka_bootstrap}


async def parley(settings: Mapping[str, str], *arguments: str) -> asyncio.subprocess.Process:
    return await started("parley_cli", "log", "tail", *arguments, **settings)


async def test_ctrl_c_ends_it_without_a_traceback(settings: Mapping[str, str]) -> None:
    following = await parley(settings, "--follow")
    assert following.stdout is not None
    async with asyncio.timeout(15):
        lines = [await following.stdout.readline() for _ in range(20)]
    assert all(b"message_submitted" in line for line in lines)
    following.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(following.communicate(), 10)
    assert (following.returncode, out, err) == (130, b"", b"")


async def test_whoever_reads_may_leave(settings: Mapping[str, str]) -> None:
    shown = await parley(settings, "--since", "2020-01-01", "--follow")
    assert shown.stdout is not None
    async with asyncio.timeout(15):
        await shown.stdout.readline()
        # As `| head -1` does it.
        shown.stdout._transport.close()  # type: ignore[attr-defined]
        await append(Brokers(settings["PARLEY_KAFKA"]), SESSIONS_TOPIC, Conversation().records)
        assert shown.stderr is not None
        assert await shown.stderr.read() == b""
        assert await shown.wait() == 0


async def test_content_without_a_secret_is_refused_with_what_it_needs(
    settings: Mapping[str, str],
) -> None:
    refused = await parley(settings, "--content")
    out, err = await asyncio.wait_for(refused.communicate(), 15)
    assert (refused.returncode, out) == (1, b"")
    assert b"set PARLEY_SESSION_URL" in err


async def test_a_kafka_that_is_not_there_is_told_in_one_line(settings: Mapping[str, str]) -> None:
    refused = await parley({"PARLEY_KAFKA": "127.0.0.1:1"})
    _, err = await asyncio.wait_for(refused.communicate(), 20)
    assert refused.returncode == 1
    [line] = err.decode().splitlines()
    assert line.startswith("The log parley.sessions.v1 cannot be read: ")
