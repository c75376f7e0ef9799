"""A TCP proxy that cuts connections after a pseudo-random number of bytes."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

_CHUNK_BYTES = 16 * 1024
# Closing with SO_LINGER 0 resets the connection and discards unsent data.
_NO_LINGER = struct.pack("ii", 1, 0)


class FlakyProxy:
    """Cuts each connection after a random number of response bytes, by closing or resetting it.

    `cuts` counts them. The same seed gives the same cuts.
    """

    def __init__(self, target: str, seed: int, after: range | None) -> None:
        """`target` is host:port; without `after`, connections are cut by `cut_all` only."""
        self.address, self.cuts = "", 0
        self._host, _, self._port = target.rpartition(":")
        self._random, self._after = random.Random(seed), after
        self._connections: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def serve(
        cls, target: str, *, seed: int = 0, after: range | None = None
    ) -> AsyncIterator[Self]:
        proxy = cls(target, seed, after)
        server = await asyncio.start_server(proxy._accept, "127.0.0.1", 0)
        proxy.address = "{}:{}".format(*server.sockets[0].getsockname())
        try:
            yield proxy
        finally:
            server.close()
            await proxy._end_all()

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    async def cut_all(self) -> None:
        """Cut all open connections."""
        self.cuts += len(self._connections)
        await self._end_all()

    async def _end_all(self) -> None:
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._forward(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        allowed = self._random.choice(self._after) if self._after else None
        resets = self._random.random() < 0.5
        upstream: asyncio.StreamWriter | None = None
        try:
            responses, upstream = await asyncio.open_connection(self._host, int(self._port))
            sending = asyncio.create_task(_pump(reader, upstream, None))
            receiving = asyncio.create_task(_pump(responses, writer, allowed))
            try:
                await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
                if receiving.done() and receiving.result():
                    self.cuts += 1
                    if resets:
                        _reset_at_close(writer)
            finally:
                sending.cancel()
                receiving.cancel()
                await asyncio.gather(sending, receiving, return_exceptions=True)
        except OSError:
            pass  # The target is down or a side has disconnected: close both.
        finally:
            writer.close()
            if upstream is not None:
                upstream.close()


async def _pump(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, allowed: int | None
) -> bool:
    """Copy until the source ends (False) or `allowed` bytes were copied (True)."""
    while allowed is None or allowed > 0:
        data = await source.read(_CHUNK_BYTES if allowed is None else min(_CHUNK_BYTES, allowed))
        if not data:
            return False
        sink.write(data)
        await sink.drain()
        allowed = None if allowed is None else allowed - len(data)
    return True


def _reset_at_close(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
