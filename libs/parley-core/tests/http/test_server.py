"""A server process drains on signals, within its limit, and exits with code 0."""

import asyncio
import re
import signal
import socket
import time
from datetime import UTC, datetime, timedelta
from signal import Signals

import pytest
from core_fakes.server_process import (
    FAR_LIMIT,
    LIMIT,
    ended,
    serving,
    started,
    streaming,
    who_answers,
)

from parley_cli.engines import free_port


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_on_drain_ends_open_streams_and_the_exit_code_is_0(number: Signals) -> None:
    async with serving(FAR_LIMIT) as (process, port), streaming(port, "/ends") as stream:
        out, log, _ = await ended(process, number)

        assert (await stream.read()).endswith(b"ended\r\n0\r\n\r\n")
        assert out == "on_drain\nserved\n"
        assert "Traceback" not in log
        assert process.returncode == 0


async def test_an_endless_stream_is_aborted_at_the_drain_limit() -> None:
    async with serving(LIMIT) as (process, port), streaming(port, "/endless") as stream:
        out, _, seconds = await ended(process)

        assert not (await stream.read()).endswith(b"0\r\n\r\n")
        assert out == "on_drain\nserved\n"
        assert process.returncode == 0
        assert seconds >= LIMIT


async def test_a_second_sigterm_changes_nothing() -> None:
    async with serving(LIMIT) as (process, port), streaming(port, "/endless"):
        signalled_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert await process.stdout.readline() == b"on_drain\n"

        out, _, _ = await ended(process)

        assert out == "served\n"
        assert process.returncode == 0
        assert time.monotonic() - signalled_at >= LIMIT


async def test_a_second_interrupt_exits_at_once() -> None:
    async with serving(FAR_LIMIT) as (process, port), streaming(port, "/endless"):
        process.send_signal(signal.SIGINT)
        assert await process.stdout.readline() == b"on_drain\n"

        out, _, _ = await ended(process, signal.SIGINT)

        assert out == "served\n"


async def test_the_process_exits_when_on_drain_raises() -> None:
    async with serving(LIMIT, "broken") as (process, port), streaming(port, "/endless"):
        out, log, _ = await ended(process)

        assert out == "on_drain\n"
        assert "in on_drain" in log
        assert process.returncode == 1


async def test_a_port_in_use_exits_with_code_1_and_one_log_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        async with started(taken.getsockname()[1], LIMIT) as process:
            out, log = await process.communicate()

    assert process.returncode == 1
    assert out == b""
    assert b"address already in use" in log.lower()
    assert b"Traceback" not in log


async def test_two_processes_share_a_port_and_the_survivor_serves_after_one_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = free_port()
    monkeypatch.setenv("SHARED_PORT", str(shared))
    async with serving(LIMIT) as (one, _), serving(LIMIT) as (other, own):
        both = {await who_answers(shared) for _ in range(50)}
        assert await who_answers(own) == other.pid
        one.kill()
        await one.wait()
        left = {await who_answers(shared) for _ in range(10)}

    assert both == {one.pid, other.pid}
    assert left == {other.pid}


async def test_a_shared_port_that_is_in_use_exits_with_code_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("SHARED_PORT", str(taken.getsockname()[1]))

        async with started(0, LIMIT) as process:
            _, log = await process.communicate()

    assert process.returncode == 1
    assert b"address already in use" in log.lower()
    assert b"Traceback" not in log


async def test_a_log_entry_is_one_line_with_its_time_in_utc() -> None:
    async with serving(LIMIT) as (process, _):
        _, log, _ = await ended(process)

    entry = re.compile(r"(\S+Z) INFO [a-z_.]+: .+")
    found = [entry.fullmatch(line) for line in log.splitlines()]
    times = [datetime.fromisoformat(match[1]) for match in found if match]
    assert len(times) == len(found) > 0
    assert all(abs(datetime.now(UTC) - time) < timedelta(minutes=1) for time in times)


async def test_endless_headers_are_rejected() -> None:
    async with serving(LIMIT) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nx: ")
        writer.write(b"a" * 1024 * 1024)

        assert (await reader.readline()).startswith(b"HTTP/1.1 431 ")
        writer.close()
