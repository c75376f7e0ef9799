"""Flood of requests with forged tokens, from an address of its own."""

import asyncio
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_bytes
from typing import cast

# Another one than that of the people beside it: the bound of bad tokens is per address.
ADDRESS = "127.0.0.2"
CONNECTIONS, TICK_SECONDS = 500, 0.01
# Of one connection: a slow server gets fewer requests, as from clients that wait for answers.
MAX_UNANSWERED = 4
_TOKENS = 1_000
_START = b"HTTP/1.1 "


def forged_token() -> bytes:
    """A token of the right form, with a wrong signature."""
    parts = b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"mallory","exp":4102444800}', token_bytes(32)
    return b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in parts)


class _Connection(asyncio.Protocol):
    def __init__(self, statuses: Counter[str]) -> None:
        self._statuses = statuses
        self.unanswered = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        # A start that is split between two reads is lost: rare, and the count is of thousands.
        for each in data.split(_START)[1:]:
            self.unanswered = max(0, self.unanswered - 1)
            self._statuses[each[:3].decode()] += 1


@asynccontextmanager
async def bad_token_flood(url: str, *, per_second: int) -> AsyncIterator[Counter[str]]:
    """The answers by status, while up to so many requests a second are sent in the block."""
    host, _, port = url.removeprefix("http://").partition(":")
    tokens = [forged_token() for _ in range(_TOKENS)]
    requests = [
        b"GET /v1/sessions HTTP/1.1\r\nhost: parley\r\nauthorization: Bearer " + token + b"\r\n\r\n"
        for token in tokens
    ]
    statuses: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    connections = [
        (
            await loop.create_connection(
                lambda: _Connection(statuses),
                host,
                int(port),
                local_addr=(ADDRESS, 0),
            )
        )[1]
        for _ in range(CONNECTIONS)
    ]

    async def send() -> None:
        started_at, sent = loop.time(), 0
        while True:
            due = int((loop.time() - started_at) * per_second)
            for number in range(sent, due):
                connection = connections[number % CONNECTIONS]
                if connection.unanswered < MAX_UNANSWERED and connection.transport is not None:
                    connection.unanswered += 1
                    connection.transport.write(requests[number % _TOKENS])
            sent = due
            await asyncio.sleep(TICK_SECONDS)

    sending = asyncio.create_task(send())
    try:
        yield statuses
    finally:
        sending.cancel()
        for connection in connections:
            if connection.transport is not None:
                connection.transport.close()
