"""What people write and models answer is nowhere in clear: the raw data is searched for it."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from redis.asyncio import Redis
from stack.model_server import TOKEN
from stack.parley import Stack
from stack.person import Person
from stack.topic import records_in_topic

pytestmark = pytest.mark.asyncio(loop_scope="session")

TABLES = """
SELECT table_schema, table_name FROM information_schema.tables
WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
"""


class Written:
    """Words that are nowhere else in the world, and what must be found of their session."""

    def __init__(self, session: str) -> None:
        self.session = session
        self.said, self.title, self.note = (f"{name}{uuid4().hex}" for name in ("said", "t", "n"))

    @property
    def secrets(self) -> list[bytes]:
        answered = "Answer to: " + self.said
        words = (self.said, answered, self.title, self.note, TOKEN)
        return [form for word in words for form in _forms(word)]

    def require_hidden(self, place: object, data: bytes) -> None:
        for secret in self.secrets:
            assert secret not in data, f"{secret!r} is in {place}"


@pytest.fixture
def written() -> Written:
    return Written(str(uuid4()))


async def test_no_message_stands_in_clear_anywhere(
    ada: Person, stack: Stack, written: Written
) -> None:
    await _chat(ada, written)

    processes = await stack.status()
    found_in = set()
    async for place, data in _everything(stack, processes):
        written.require_hidden(place, data)
        if written.session.encode() in data:
            found_in.add(place)
    # The search itself works: what may be seen was found in the stores, row by row.
    assert found_in >= {
        "parley_session.public.events",
        "parley_history.public.messages",
        "the topic",
    }


async def _chat(ada: Person, written: Written) -> None:
    """Everything that carries text: titles, messages, replies, halves of replies."""
    await ada.start_session(
        id=written.session, title=written.title, metadata={"note": written.note}
    )
    await ada.ask(written.session, written.said)
    async with ada.stream(written.session, written.said) as turn:
        await turn.events()
    failed = await ada.ask(written.session, f"[die 2] {written.said}")
    assert failed["reply"]["content"] == 2 * TOKEN
    refused = await ada.ask(written.session, f"[refuse 401] {written.said}")
    assert len(await ada.messages(written.session, refused["version"])) == 8
    # Refusals are where a careless server quotes what it was sent.
    await ada.call("POST", "/sessions", json={"color": written.said, written.said: 1})
    await ada.call("POST", "/sessions", content=f'{{"title": "{written.said}'.encode())


async def _everything(
    stack: Stack, processes: dict[str, Any]
) -> AsyncIterator[tuple[object, bytes]]:
    for database in ("parley_session", "parley_history"):
        async for place, data in _rows(stack.data, processes["postgres"]["address"], database):
            yield place, data
    for record in await records_in_topic(processes["kafka"]["address"]):
        yield "the topic", b"\n".join((record.key, record.value, repr(record.headers).encode()))
    yield "Redis", await _redis(processes["redis"]["address"])
    yield "the terminal", stack.output.read_bytes()
    for path in _files(stack.data):
        # Kafka's indexes are ten megabytes each, zeros nearly all of them.
        yield path, (await asyncio.to_thread(path.read_bytes)).rstrip(b"\0")


async def _rows(data: Path, address: str, database: str) -> AsyncIterator[tuple[str, bytes]]:
    """Every table as text, binary columns as the bytes that they are."""
    password = (data / "postgres.password").read_text()
    dsn = f"postgresql://postgres:{password}@{address}/{database}"
    connection = await asyncpg.connect(dsn)
    try:
        # Also the files are searched: let them have what is still in memory.
        await connection.execute("CHECKPOINT")
        for schema, table in await connection.fetch(TABLES):
            rows = await connection.fetch(f'SELECT * FROM "{schema}"."{table}"')
            values = [value for row in rows for value in row.values()]
            yield f"{database}.{schema}.{table}", b"\n".join(map(_bytes, values))
    finally:
        await connection.close()


async def _redis(address: str) -> bytes:
    async with Redis.from_url(f"redis://{address}/0") as redis:
        read: dict[Any, Callable[[Any], Any]] = {
            b"string": redis.get,
            b"stream": redis.xrange,
            b"hash": redis.hgetall,
            b"set": redis.smembers,
            b"list": lambda key: redis.lrange(key, 0, -1),
            b"zset": lambda key: redis.zrange(key, 0, -1),
        }
        found = [(key, await read[await redis.type(key)](key)) for key in await redis.keys()]
    return b"\n".join(map(_bytes, found))


def _files(data: Path) -> Iterator[Path]:
    """All files of the data folder, as they are on the disk."""
    for folder, _, names in os.walk(data):
        for name in names:
            if (path := Path(folder) / name).is_file():
                yield path


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _forms(word: str) -> Iterator[bytes]:
    """The word as UTF-8, in hexadecimal, and in base64 wherever in the text it begins."""
    plain = word.encode()
    yield plain
    yield plain.hex().encode()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + plain)
        # Without the ends, which depend on what stands around the word.
        yield encoded[4 if before else 0 : -4]
