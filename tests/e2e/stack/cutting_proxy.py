"""A TCP proxy in front of one address that cuts connections at random places, the same each run."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

_PIECE_BYTES = 16 * 1024
# Closed with this, a connection is reset, and what was not sent yet is lost.
_LINGER_NOT = struct.pack("ii", 1, 0)


class CuttingProxy:
    """Cuts a connection once so many bytes have come back through it; each has its own number.

    Some are closed as if all were said, some are reset. `cuts` counts them.
    """

    def __init__(self, target: str, seed: int, after: range | None) -> None:
        """`target` is host:port; without `after` only `cut_all` cuts."""
        self.address, self.cuts = "", 0
        self._host, _, self._port = target.rpartition(":")
        self._chance, self._after = random.Random(seed), after
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
        """Cut all connections that are open now."""
        self.cuts += len(self._connections)
        await self._end_all()

    async def _end_all(self) -> None:
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passing = asyncio.create_task(self._pass_on(reader, writer))
        self._connections.add(passing)
        passing.add_done_callback(self._connections.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        allowed = self._chance.choice(self._after) if self._after else None
        resets = self._chance.random() < 0.5
        upstream: asyncio.StreamWriter | None = None
        try:
            answers, upstream = await asyncio.open_connection(self._host, int(self._port))
            asking = asyncio.create_task(_pump(reader, upstream, None))
            answering = asyncio.create_task(_pump(answers, writer, allowed))
            try:
                await asyncio.wait((asking, answering), return_when=asyncio.FIRST_COMPLETED)
                if answering.done() and answering.result():
                    self.cuts += 1
                    if resets:
                        _reset_at_close(writer)
            finally:
                asking.cancel()
                answering.cancel()
                await asyncio.gather(asking, answering, return_exceptions=True)
        except OSError:
            pass  # The target is away, or somebody has left: the other side sees the same.
        finally:
            writer.close()
            if upstream is not None:
                upstream.close()


async def _pump(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, allowed: int | None
) -> bool:
    """Until the source ends, which gives False, or so many bytes have passed."""
    while allowed is None or allowed > 0:
        data = await source.read(_PIECE_BYTES if allowed is None else min(_PIECE_BYTES, allowed))
        if not data:
            return False
        sink.write(data)
        await sink.drain()
        allowed = None if allowed is None else allowed - len(data)
    return True


def _reset_at_close(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
