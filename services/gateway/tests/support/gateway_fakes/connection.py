"""A connection to a gateway, on which a test sends bytes of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway_fakes.gateway import Gateway


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def without_id(self) -> tuple[int, dict[str, str], bytes]:
        headers = {name: value for name, value in self.headers.items() if name != "x-request-id"}
        return self.status, headers, self.body


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self) -> Response:
        status, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        headers = dict(line.lower().split(": ", 1) for line in lines)
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Response(int(status.split()[1]), headers, body)

    async def exchange(self, data: bytes) -> Response:
        await self.send(data)
        return await self.receive()


@asynccontextmanager
async def connected(gateway: Gateway) -> AsyncIterator[Connection]:
    address = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
