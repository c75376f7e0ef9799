"""Exports are streamed, and an interrupted one has no end."""

import asyncio
from collections.abc import Awaitable, Callable
from types import MethodType
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.history import History

from parley_testing.eventually import eventually

EXPORT = f"/v1/sessions/{SESSION_ID}/export"


@pytest.fixture
def parts(history: History, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What history sends, piece by piece; None cuts the connection."""
    pieces: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def handle(self: Any, request: Any, call: Any) -> Any:
        response = web.StreamResponse()
        await response.prepare(request)
        while piece := await pieces.get():
            await response.write(piece)
        if piece is None:
            request.transport.abort()
        return response

    monkeypatch.setattr(History, "handle", handle)
    return pieces


@pytest.mark.parametrize(
    ("path", "called", "kind", "name"),
    [
        (EXPORT, "json", "application/json", f"parley-{SESSION_ID}.json"),
        (f"{EXPORT}?format=markdown", "markdown", "text/markdown", f"parley-{SESSION_ID}.md"),
        ("/v1/export", "json", "application/json", "parley.json"),
        ("/v1/export?format=markdown", "markdown", "text/markdown", "parley.md"),
    ],
)
async def test_an_export_is_streamed_in_chunks(
    gateway: Gateway, history: History, parts: Any, path: Any, called: Any, kind: Any, name: Any
) -> None:
    parts.put_nowait(b'{"sess')
    async with gateway.request("GET", path) as answer:
        assert answer.status == 200
        assert answer.content_type == kind
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert answer.headers["x-request-id"]
        assert await answer.content.readany() == b'{"sess'
        parts.put_nowait(b'ions":[]}')
        parts.put_nowait(b"")
        assert await answer.read() == b'ions":[]}'
    [call] = history.calls
    assert call.path == path.removeprefix("/v1").partition("?")[0]
    min_version = {} if path.startswith("/v1/export") else {"min_version": "1"}
    assert call.query == {"format": called, **min_version}


async def test_an_interrupted_export_has_no_end(gateway: Gateway, parts: Any) -> None:
    parts.put_nowait(b'{"sess')
    async with gateway.request("GET", EXPORT) as answer:
        await answer.content.readany()
        parts.put_nowait(None)
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_a_rejected_export_is_an_ordinary_error(gateway: Gateway) -> None:
    assert (await gateway.expect_error("GET", EXPORT))[:2] == (404, "session_not_found")


async def test_exports_count_as_streams_and_end_at_shutdown(
    start: Callable[..., Awaitable[Gateway]], parts: Any
) -> None:
    gateway = await start(max_streams=1)
    parts.put_nowait(b"{")
    async with gateway.request("GET", EXPORT) as answer:
        await answer.content.readany()
        assert (await gateway.expect_error("GET", EXPORT))[:2] == (503, "gateway_busy")
        gateway.app.begin_drain()
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_a_disconnected_client_ends_the_upstream_stream(gateway: Gateway, parts: Any) -> None:
    parts.put_nowait(b"{")
    async with gateway.request("GET", EXPORT) as answer:
        await answer.content.readany()
        answer.close()
    streams: Any = cast(MethodType, gateway.app.hurry).__self__
    await eventually(lambda: not streams._stops)
