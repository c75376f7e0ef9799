"""A TCP proxy to PostgreSQL that can disconnect its clients or stop forwarding bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self
from urllib.parse import urlsplit


class FaultyProxy:
    def __init__(self, database: str) -> None:
        self._to = urlsplit(database)
        self._passes = asyncio.Event()
        self._passes.set()
        self._closed = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self.database = ""

    @classmethod
    @asynccontextmanager
    async def to(cls, database: str) -> AsyncIterator[Self]:
        """Serve the proxy within the block; its `database` is the DSN of clients."""
        proxy = cls(database)
        server = await asyncio.start_server(proxy._enter, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        account = proxy._to.netloc.rpartition("@")[0]
        proxy.database = proxy._to._replace(netloc=f"{account}@{host}:{port}").geturl()
        try:
            yield proxy
        finally:
            server.close()
            proxy.close()
            proxy._passes.set()
            await server.wait_closed()
            await asyncio.gather(*proxy._connections, return_exceptions=True)

    def close(self) -> None:
        """Abort all connections and refuse new ones."""
        self._closed = True
        for writer in self._writers:
            writer.transport.abort()

    def silence(self) -> None:
        """Keep connections open but forward nothing, as after a network partition."""
        self._passes.clear()

    def open(self) -> None:
        """Accept connections and forward bytes again."""
        self._closed = False
        self._passes.set()

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        there, back = await asyncio.open_connection(self._to.hostname, self._to.port)
        self._writers |= {writer, back}
        if self._closed:
            # `close` did not know of this connection, which was being opened.
            self.close()
        try:
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        finally:
            self._writers -= {writer, back}
            for each in (writer, back):
                each.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while received := await reader.read(65_536):
                await self._passes.wait()
                writer.write(received)
                await writer.drain()
        writer.transport.abort()
