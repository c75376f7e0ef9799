"""Answers of another service that are read as they come."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web
from call_peers.service import NAMES, TAKEN, answering, is_unavailable, service

from parley_core.http.errors import Unavailable
from parley_core.http.service_client import ServiceError


async def test_a_stream_is_read_as_it_comes():
    read = asyncio.Event()

    async def handler(request):
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


async def test_a_stream_may_take_longer_than_its_longest_silence():
    async def handler(request):
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


async def test_a_stream_is_broken_off_after_silence():
    async def handler(request):
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


async def test_a_stream_that_the_server_breaks_off_says_so():
    async def handler(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first\n")
        request.transport.close()
        return response

    async with (
        service(handler) as client,
        client.stream("POST", "/", **NAMES, idle_timeout=5) as content,
    ):
        with pytest.raises(aiohttp.ClientError):
            await content.read()


async def test_leaving_a_stream_is_noticed_by_its_server():
    left = asyncio.Event()

    async def handler(request):
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


async def test_a_stream_that_is_refused_relays_the_error():
    async with service(answering(json.dumps(TAKEN), status=409)) as client:
        with pytest.raises(ServiceError) as refusal:
            async with client.stream("POST", "/", **NAMES, idle_timeout=5):
                pass

    assert refusal.value.code == "turn_open"


async def test_a_stream_whose_refusal_never_ends_is_unavailable():
    async def handler(request):
        response = web.StreamResponse(status=503)
        await response.prepare(request)
        await response.write(b"{")
        await asyncio.Event().wait()

    async with service(handler) as client:
        with pytest.raises(Unavailable) as refusal:
            async with client.stream("POST", "/", **NAMES, idle_timeout=0.2):
                pass

    assert is_unavailable(refusal)


async def test_what_goes_wrong_within_a_stream_is_not_taken_for_the_services_fault():
    async with service(answering(b"x")) as client:
        with pytest.raises(OSError, match="ours"):
            async with client.stream("POST", "/", **NAMES, idle_timeout=5):
                raise OSError("ours")
