"""No plaintext of messages, titles or metadata in databases, log, Redis, files or console."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from e2e_support.captured_turn import SECRETS, secrets_in_traffic
from e2e_support.kafka_records import read_records
from e2e_support.model_server import TOKEN, ModelServer
from e2e_support.stack import Stack
from e2e_support.user import User
from redis.asyncio import Redis

pytestmark = pytest.mark.asyncio(loop_scope="session")

TABLES = """
SELECT table_schema, table_name FROM information_schema.tables
WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
"""


class SecretConversation:
    """Unique words to search the raw data for, and the id of the session that contains them."""

    def __init__(self, session: str) -> None:
        self.session = session
        self.message, self.title, self.note = (
            f"{name}{uuid4().hex}" for name in ("message", "t", "n")
        )

    @property
    def secrets(self) -> list[bytes]:
        reply = "Answer to: " + self.message
        words = (self.message, reply, self.title, self.note, TOKEN)
        return [form for word in words for form in _forms(word)]

    def assert_absent(self, location: object, data: bytes) -> None:
        for secret in self.secrets:
            assert secret not in data, f"{secret!r} is in {location}"


@pytest.fixture
def conversation() -> SecretConversation:
    return SecretConversation(str(uuid4()))


async def test_the_traffic_of_a_turn_without_tls_shows_all_secrets(
    stack: Stack, model_server: ModelServer
) -> None:
    """So the same search with TLS (tls_and_limits) would find them."""
    assert await secrets_in_traffic(stack, model_server) == SECRETS


async def test_no_plaintext_is_stored_anywhere(
    ada: User, stack: Stack, conversation: SecretConversation
) -> None:
    await _chat(ada, conversation)

    processes = await stack.status()
    found_in = set()
    async for location, data in _everything(stack, processes):
        conversation.assert_absent(location, data)
        if conversation.session.encode() in data:
            found_in.add(location)
    # Proves that the search covers the stores: the session id, which is not secret, was found.
    assert found_in >= {
        "parley_session.public.events",
        "parley_history.public.messages",
        "the topic",
    }


async def _chat(ada: User, conversation: SecretConversation) -> None:
    """Send every kind of text: titles, metadata, messages, complete and partial replies."""
    await ada.start_session(
        id=conversation.session, title=conversation.title, metadata={"note": conversation.note}
    )
    await ada.send(conversation.session, conversation.message)
    async with ada.stream(conversation.session, conversation.message) as turn:
        await turn.events()
    failed = await ada.send(conversation.session, f"[die 2] {conversation.message}")
    assert failed["reply"]["content"] == 2 * TOKEN
    refused = await ada.send(conversation.session, f"[refuse 401] {conversation.message}")
    assert len(await ada.messages(conversation.session, refused["version"])) == 8
    # An error response may quote the invalid input.
    await ada.request(
        "POST", "/sessions", json={"color": conversation.message, conversation.message: 1}
    )
    await ada.request("POST", "/sessions", content=f'{{"title": "{conversation.message}'.encode())


async def _everything(
    stack: Stack, processes: dict[str, Any]
) -> AsyncIterator[tuple[object, bytes]]:
    for database in ("parley_session", "parley_history"):
        async for location, data in _rows(stack.data, processes["postgres"]["address"], database):
            yield location, data
    for record in await read_records(stack.kafka):
        yield "the topic", b"\n".join((record.key, record.value, repr(record.headers).encode()))
    yield "Redis", await _redis(stack.redis_url)
    yield "the console", stack.console.read_bytes()
    for path in _files(stack.data):
        # Kafka preallocates its index files, full of zeros.
        yield path, (await asyncio.to_thread(path.read_bytes)).rstrip(b"\0")


async def _rows(data: Path, address: str, database: str) -> AsyncIterator[tuple[str, bytes]]:
    """Every table: text columns as text, binary columns as their bytes."""
    password = (data / "postgres.password").read_text()
    dsn = f"postgresql://postgres:{password}@{address}/{database}"
    connection = await asyncpg.connect(dsn)
    try:
        # The data files are searched too: write dirty pages to disk first.
        await connection.execute("CHECKPOINT")
        for schema, table in await connection.fetch(TABLES):
            rows = await connection.fetch(f'SELECT * FROM "{schema}"."{table}"')
            values = [value for row in rows for value in row.values()]
            yield f"{database}.{schema}.{table}", b"\n".join(map(_bytes, values))
    finally:
        await connection.close()


async def _redis(url: str) -> bytes:
    async with Redis.from_url(url) as redis:
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
    """All files of the data folder."""
    for folder, _, names in os.walk(data):
        for name in names:
            if (path := Path(folder) / name).is_file():
                yield path


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _forms(word: str) -> Iterator[bytes]:
    """The word as UTF-8, in hexadecimal, and in base64 at each of the three alignments."""
    plain = word.encode()
    yield plain
    yield plain.hex().encode()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + plain)
        # The first and last characters depend on the bytes around the word.
        yield encoded[4 if before else 0 : -4]


async def test_the_stored_keys_are_counted_by_master_key(ada: User, stack: Stack) -> None:
    await ada.start_session()
    [_, line, *more] = (await stack.stdout_of("keys", "status")).splitlines()
    key_id, count, state = line.split()[:3]
    assert (key_id, int(count.replace(",", "")) >= 1, state, more) == ("local", True, "active:", [])
