"""An export ends with its response."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.types import Message

from parley_history.queries.export.response import file_response


@pytest.mark.parametrize("waits_for", ["the client", "the next chunk"])
async def test_the_chunks_are_closed_when_the_client_disconnects(waits_for: str) -> None:
    closed, sent = asyncio.Event(), asyncio.Event()

    async def export() -> AsyncGenerator[bytes]:
        try:
            yield b"first"
            if waits_for == "the next chunk":
                await asyncio.sleep(60)
            yield b"second"
        finally:
            closed.set()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            sent.set()
            if waits_for == "the client":
                await asyncio.sleep(60)

    async def receive() -> Message:
        await sent.wait()
        return {"type": "http.disconnect"}

    # Kept here, so that no garbage collection closes it.
    chunks = export()
    response = await file_response(chunks, "json", "parley")
    async with asyncio.timeout(15):
        await response({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
    assert closed.is_set()
