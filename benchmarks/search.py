"""Search among 100,000 messages of one person, beside a bare read of as many known messages.

Words are drawn as a language has them (Zipf). The database holds the messages sealed, as the
projector writes them; the index is built by the indexer's own code; searches open what they show.
"""

import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from msgspec.structs import astuple

from benchmarks.engines import postgres
from benchmarks.table import Line, milliseconds, per_second, percentile, print_table
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey, seal
from parley_core.storage.postgres_pool import Pool, open_pool
from parley_history.domain.rows import MessageRow, SessionRow
from parley_history.queries.messages.page_json import message_of
from parley_history.queries.search.index_sessions import Indexing
from parley_history.queries.search.match_repository import FoundMessages
from parley_history.queries.search.request import SearchRequest
from parley_history.queries.search.search_messages import Searching
from parley_history.session_service.client import Person
from parley_history.session_service.key_cache import ContentKeys, KeptKeys
from parley_history.storage.migrations import migrate_history

SESSIONS, MESSAGES = 1_000, 100
VOCABULARY, WORDS = 50_000, 60
ROUNDS = 200
ADA = Principal("default", "ada")

SIZES = """
SELECT pg_table_size('search_messages'), pg_indexes_size('search_messages'),
    pg_relation_size('search_messages_by_token'), pg_table_size('read_model_1.messages')
"""
KNOWN = """
SELECT session_id, version, id, event_id, turn_id, parent_id, role, status, created_at, content,
    original_time, model, finish_reason, prompt_tokens, completion_tokens, tokens_estimated
FROM messages WHERE session_id = $1 ORDER BY version DESC LIMIT 20
"""


class Conversations:
    """One person's, of words that are as frequent as in a language."""

    def __init__(self) -> None:
        self.random = random.Random(7)
        self.frequencies = [*accumulate(1 / rank for rank in range(1, VOCABULARY + 1))]
        self.keys = {uuid4(): DataKey.generate() for _ in range(SESSIONS)}
        self.search_key = DataKey.generate()
        self.texts = list[str]()
        self._time = datetime.now(UTC) - timedelta(days=365)

    def text(self) -> str:
        count = self.random.randint(WORDS // 4, WORDS * 7 // 4)
        ranks = self.random.choices(range(VOCABULARY), cum_weights=self.frequencies, k=count)
        return " ".join(map(word, ranks))

    def rows(self) -> Iterator[tuple[SessionRow, Sequence[MessageRow]]]:
        for session_id, key in self.keys.items():
            messages = [self._message(session_id, key, place) for place in range(MESSAGES)]
            last = messages[-1]
            yield (
                SessionRow(
                    id=session_id,
                    tenant=ADA.tenant,
                    owner=ADA.user,
                    assistant_id="helper",
                    assistant_version=1,
                    version=last.version,
                    last_event_id=last.event_id,
                    created_at=messages[0].created_at,
                    updated_at=last.created_at,
                    title=None,
                    title_event_id=None,
                    metadata=None,
                    metadata_event_id=None,
                    leaf_message_id=last.id,
                ),
                messages,
            )

    def _message(self, session_id: UUID, key: DataKey, place: int) -> MessageRow:
        self._time += timedelta(minutes=4)
        self.texts.append(text := self.text())
        event_id = uuid4()
        return MessageRow(
            session_id=session_id,
            version=place + 2,
            id=uuid4(),
            event_id=event_id,
            turn_id=None,
            parent_id=None,
            role="user",
            status="completed",
            created_at=self._time,
            content=seal(
                key, {"text": text}, session_id=session_id, event_id=event_id, field="content"
            ),
        )

    async def session_keys(self, ids: Sequence[UUID], _: str) -> Mapping[UUID, DataKey | None]:
        return {id: self.keys[id] for id in ids}

    async def search_keys(
        self, people: Sequence[Person], _: str
    ) -> Mapping[Person, DataKey | None]:
        return dict.fromkeys(people, self.search_key)


def word(rank: int) -> str:
    return f"word{rank}"


async def run() -> None:
    conversations = Conversations()
    async with (
        postgres() as dsn,
        open_pool(dsn, max_connections=2, timeout_seconds=60, application_name="benchmark") as pool,
    ):
        connection = await asyncpg.connect(dsn)
        await migrate_history(connection)
        await _store(connection, conversations)
        keys = ContentKeys(conversations.session_keys, most=10_000, seconds=60)
        search_keys = KeptKeys(conversations.search_keys, most=10, seconds=60)
        rate = await _index(connection, conversations, keys, search_keys)
        await connection.execute("VACUUM ANALYZE")
        sizes = await connection.fetchrow(SIZES)
        searching = Searching(FoundMessages(pool), keys, search_keys)
        floor = await _timed(lambda: _read_known(pool, conversations))
        lines = [Line("words indexed", per_second(rate, "messages"))]
        for name, queries in _queries(conversations).items():
            asked = iter(queries)
            times = await _timed(
                lambda asked=asked: searching.search(  # type: ignore[misc]
                    ADA, "benchmark", SearchRequest(frozenset(next(asked)))
                )
            )
            lines += _lines(name, times, floor)
        lines.append(_scan(conversations))
        await connection.close()
    table, indexes, tokens, messages = (f"{size / 1e6:.0f} MB" for size in sizes)
    lines += [
        Line("size of the table of words", table, messages),
        Line("size of its indexes, and of the one by word", f"{indexes}, {tokens}"),
    ]
    print_table(
        f"Search: {SESSIONS * MESSAGES:,} messages of one person, 20 results; the floor reads and"
        " opens 20 messages of a known session",
        lines,
    )


async def _store(
    connection: "asyncpg.Connection[asyncpg.Record]", conversations: Conversations
) -> None:
    for session, messages in conversations.rows():
        for table, rows in (("sessions", [session]), ("messages", messages)):
            await connection.copy_records_to_table(
                table,
                schema_name="read_model_1",
                columns=rows[0].__struct_fields__,
                records=map(astuple, rows),
            )
    await connection.execute("ANALYZE")


async def _index(
    connection: "asyncpg.Connection[asyncpg.Record]",
    conversations: Conversations,
    keys: ContentKeys,
    search_keys: KeptKeys[Person],
) -> float:
    indexing, ids = Indexing(connection, keys, search_keys), [*conversations.keys]
    began = time.perf_counter()
    added = 0
    for start in range(0, len(ids), 100):
        added += await indexing.index(ids[start : start + 100], "benchmark")
    assert added == SESSIONS * MESSAGES
    return added / (time.perf_counter() - began)


def _queries(conversations: Conversations) -> dict[str, Sequence[Sequence[str]]]:
    """By how many messages have the words."""
    draw = conversations.random.randrange

    def words(*ranges: tuple[int, int]) -> Sequence[Sequence[str]]:
        return [[word(draw(*each)) for each in ranges] for _ in range(ROUNDS)]

    return {
        "a rare word": words((20_000, 50_000)),
        "an ordinary word": words((300, 3_000)),
        "a common word": words((0, 20)),
        "a common and a rare word": words((0, 20), (20_000, 50_000)),
        "two common words": words((0, 20), (20, 60)),
        "two ordinary words": words((60, 300), (300, 3_000)),
        "three words, seldom together": words((5, 60), (60, 300), (60, 300)),
    }


async def _timed(do: Callable[[], Awaitable[Any]]) -> list[float]:
    samples = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await do()
        samples.append(time.perf_counter() - began)
    return samples


async def _read_known(pool: Pool, conversations: Conversations) -> None:
    session_id = conversations.random.choice([*conversations.keys])
    rows = await pool.fetch(KNOWN, session_id)
    key = conversations.keys[session_id]
    assert len([message_of(MessageRow(*row.values()), key) for row in rows]) == 20


def _lines(name: str, times: Sequence[float], floor: Sequence[float]) -> list[Line]:
    return [
        Line(
            f"{name}, p{part}",
            milliseconds(percentile(times, part)),
            milliseconds(percentile(floor, part)),
            percentile(floor, part) / percentile(times, part),
        )
        for part in (50, 99)
    ]


def _scan(conversations: Conversations) -> Line:
    """What it would take to look through texts that are already open, in memory."""
    began = time.perf_counter()
    sum(f" {word(30_000)} " in text for text in conversations.texts)
    seconds = time.perf_counter() - began
    return Line("(a scan of all texts, open and in memory)", milliseconds(seconds))
