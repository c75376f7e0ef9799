"""The probes of a server process, its lame duck, its start and the addresses it listens on."""

import asyncio
import json
import signal
import socket
from typing import Any

import aiohttp
import pytest
from core_fakes.server_process import (
    FAR_LIMIT,
    LIMIT,
    ended,
    serving,
    started,
    streaming,
)

from parley_cli.engines import free_port
from parley_testing.eventually import eventually


@pytest.fixture
def management(monkeypatch: pytest.MonkeyPatch) -> int:
    """The management port of the processes that the test starts."""
    port = free_port()
    monkeypatch.setenv("MANAGEMENT_PORT", str(port))
    return port


async def probe(port: int, path: str) -> tuple[int, Any] | None:
    try:
        async with aiohttp.request("GET", f"http://127.0.0.1:{port}{path}") as response:
            return response.status, json.loads(await response.read())
    except aiohttp.ClientConnectionError:
        return None


async def test_probes_and_metrics_are_served_on_the_management_port_only(management: int) -> None:
    async with serving(LIMIT) as (_, port):
        # Its thread may begin to listen after the main port.
        await eventually(lambda: _is_alive(management))
        for path in ("/livez", "/readyz", "/startupz"):
            assert await probe(management, path) == (200, {"status": "ok"})
        status = await probe(management, "/status")
        assert status is not None
        assert status[1]["service"] == "test"
        async with aiohttp.request("GET", f"http://127.0.0.1:{management}/metrics") as response:
            assert "\nparley_event_loop_lag_seconds_count " in await response.text()
        async with aiohttp.request("GET", f"http://127.0.0.1:{port}/metrics") as response:
            assert response.status == 404


async def test_a_loop_that_is_blocked_for_long_fails_the_liveness_probe(management: int) -> None:
    async with serving(LIMIT) as (_, port):
        blocking = asyncio.create_task(probe(port, "/block"))

        async def is_stuck() -> bool:
            return await probe(management, "/livez") == (503, {"status": "stuck", "missing": []})

        await eventually(is_stuck)
        await blocking
        await eventually(lambda: _is_alive(management), within=5)


async def _is_alive(management: int) -> bool:
    return await probe(management, "/livez") == (200, {"status": "ok"})


async def test_a_lame_duck_is_unready_and_still_accepts_connections_that_it_closes(
    management: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAME_DUCK", str(FAR_LIMIT))
    async with serving(FAR_LIMIT) as (process, port):
        process.send_signal(signal.SIGTERM)

        async def is_unready() -> bool:
            return await probe(management, "/readyz") == (
                503,
                {"status": "stopping", "missing": []},
            )

        await eventually(is_unready, within=5)
        async with aiohttp.request("GET", f"http://127.0.0.1:{port}/who") as response:
            assert (response.status, response.headers["connection"]) == (200, "close")
        assert await probe(management, "/livez") == (200, {"status": "ok"})
        # A second signal ends the lame duck.
        await ended(process)
        assert process.returncode == 0


async def test_a_second_sigterm_shortens_the_drain() -> None:
    async with serving(FAR_LIMIT) as (process, port), streaming(port, "/endless"):
        process.send_signal(signal.SIGTERM)
        assert await process.stdout.readline() == b"on_drain\n"

        await ended(process)  # Fails after 20 s.

        assert process.returncode == 0


async def test_sigterm_ends_a_start_that_waits(management: int) -> None:
    async with started(free_port(), FAR_LIMIT, "unprepared") as process:

        async def waits() -> bool:
            return await probe(management, "/readyz") == (
                503,
                {"status": "starting", "missing": []},
            )

        await eventually(waits)
        assert await probe(management, "/livez") == (200, {"status": "ok"})
        await ended(process)
        assert process.returncode == 0


async def test_a_connection_is_closed_at_its_maximum_age(monkeypatch: pytest.MonkeyPatch) -> None:
    # Adds nothing to the time of the connect, which has a resolution of milliseconds.
    monkeypatch.setenv("CONNECTION_MAX", "1e-300")
    async with (
        serving(LIMIT) as (_, port),
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}/who") as response,
    ):
        assert response.headers["connection"] == "close"


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
async def test_the_host_asterisk_listens_on_ipv4_and_ipv6(
    management: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST", "*")
    port = free_port()
    async with started(port, LIMIT):

        async def is_ready() -> bool:
            return await probe(management, "/readyz") == (200, {"status": "ok"})

        await eventually(is_ready)
        for host in ("127.0.0.1", "[::1]"):
            for each, path in ((port, "/who"), (management, "/livez")):
                async with aiohttp.request("GET", f"http://{host}:{each}{path}") as response:
                    assert response.status == 200
