"""Streamed responses of another service."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web
from core_fakes.service import NAMES, TAKEN, is_unavailable, responding, service

from parley_core.http.errors import ServiceError, Unavailable


async def test_a_stream_is_read_as_it_arrives() -> None:
    read = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first\n")
        await read.wait()
        await response.write(b"second\n")
        return response

    async with (
        service(handler) as client,
        client.stream("POST", "/", **NAMES, body=b"{}", idle_timeout=5) as content,
    ):
        first = await content.readline()
        read.set()
        rest = await content.read()

    assert (first, rest) == (b"first\n", b"second\n")


async def test_a_stream_may_take_longer_than_its_idle_timeout() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(6):
            await asyncio.sleep(0.1)
            await response.write(b".")
        return response

    async with (
        service(handler) as client,
        client.stream("POST", "/", **NAMES, idle_timeout=0.4) as content,
    ):
        assert await content.read() == b"......"


async def test_endless_1xx_responses_time_out() -> None:
    async def handler(request: web.Request) -> None:
        while True:
            assert request.transport is not None
            request.transport.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await asyncio.sleep(0.01)

    async with service(handler) as client, asyncio.timeout(30):
        with pytest.raises(Unavailable):
            async with client.stream("POST", "/", **NAMES, idle_timeout=0.2):
                pass


async def test_an_idle_stream_times_out() -> None:
    async def handler(request: web.Request) -> None:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first\n")
        await asyncio.Event().wait()

    async with (
        service(handler) as client,
        client.stream("POST", "/", **NAMES, idle_timeout=0.2) as content,
    ):
        assert await content.readline() == b"first\n"
        with pytest.raises(TimeoutError):
            await content.readline()


async def test_a_stream_aborted_by_the_server_raises() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first\n")
        assert request.transport is not None
        request.transport.close()
        return response

    async with (
        service(handler) as client,
        client.stream("POST", "/", **NAMES, idle_timeout=5) as content,
    ):
        with pytest.raises(aiohttp.ClientError):
            await content.read()


async def test_the_server_notices_when_the_client_leaves_a_stream() -> None:
    left = asyncio.Event()

    async def handler(request: web.Request) -> None:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b".")
                await asyncio.sleep(0.01)
        finally:
            left.set()

    async with service(handler) as client:
        async with client.stream("POST", "/", **NAMES, idle_timeout=5) as content:
            await content.readexactly(1)

        await asyncio.wait_for(left.wait(), 5)


async def test_an_error_response_to_a_stream_is_raised() -> None:
    async with service(responding(json.dumps(TAKEN), status=409)) as client:
        with pytest.raises(ServiceError) as error:
            async with client.stream("POST", "/", **NAMES, idle_timeout=5):
                pass

    assert error.value.code == "turn_open"


async def test_an_endless_error_response_is_unavailable() -> None:
    async def handler(request: web.Request) -> None:
        response = web.StreamResponse(status=503)
        await response.prepare(request)
        await response.write(b"{")
        await asyncio.Event().wait()

    async with service(handler) as client:
        with pytest.raises(Unavailable) as error:
            async with client.stream("POST", "/", **NAMES, idle_timeout=0.2):
                pass

    assert is_unavailable(error)


async def test_an_exception_of_the_consumer_is_not_attributed_to_the_service() -> None:
    async with service(responding(b"x")) as client:
        with pytest.raises(OSError, match="ours"):
            async with client.stream("POST", "/", **NAMES, idle_timeout=5):
                raise OSError("ours")
