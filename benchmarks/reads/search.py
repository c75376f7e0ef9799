"""Benchmark of search in 100,000 messages of one user; baseline: a read of 20 known messages.

Words follow the frequencies of a language (Zipf), and are spelled as in English, Thai (without
spaces) or Korean (with particles). The database holds sealed messages like those of the projector;
the code of the indexer builds the index; searches decrypt their results.
"""

import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from msgspec.structs import astuple

from benchmarks.servers.engines import postgres
from benchmarks.table import Row, milliseconds, per_second, percentile, print_table, time_row
from parley_contracts.session_api.keys import Person
from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey, seal
from parley_core.storage.postgres_pool import Pool, open_pool
from parley_history.domain.rows import MessageRow, SessionRow
from parley_history.queries.messages.page_json import message_json
from parley_history.queries.search.index_sessions import SessionIndexer
from parley_history.queries.search.match_repository import MatchRepository
from parley_history.queries.search.request import SearchRequest
from parley_history.queries.search.search_messages import MessageSearch, SearchLimitSettings
from parley_history.queries.search.words import words_of_query
from parley_history.session_service.key_cache import DataKeyCache, KeyCache
from parley_history.storage.migrations import migrate_history

SESSIONS, MESSAGES = 1_000, 100
VOCABULARY, WORDS = 50_000, 60
SHORT_WORDS = 5_000
ROUNDS = 200
ADA = Principal("default", "ada")

SIZES = """
SELECT pg_table_size('search_messages'), pg_indexes_size('search_messages'),
    pg_relation_size('search_messages_by_token'), pg_table_size('read_model_1.messages')
"""
READ_SESSION = """
SELECT session_id, version, id, event_id, turn_id, parent_id, role, status, created_at, content,
    original_time, model, finish_reason, prompt_tokens, completion_tokens, tokens_estimated,
    error_code
FROM messages WHERE session_id = $1 ORDER BY version DESC LIMIT 20
"""


@dataclass(frozen=True, slots=True)
class Language:
    """`syllables` spell the words; each word in a text ends with one of the `endings`."""

    name: str
    syllables: Sequence[str]
    endings: Sequence[str]

    def word(self, rank: int) -> str:
        """Two syllables of a frequent word, three of another; different for each rank."""
        base = len(self.syllables)
        length = 2 if rank < SHORT_WORDS else 3
        # Scattered, so that frequent words share no syllable.
        rest, word = rank * 7_919 % base**length, ""
        for _ in range(length):
            rest, digit = divmod(rest, base)
            word += self.syllables[digit]
        return word


ENGLISH = Language(
    "English", [first + second for first in "bcdfghjklmnpqrstvwxyz" for second in "aeiou"], [" "]
)
THAI = Language(
    "Thai",
    [first + second for first in "กขคงจชซดตทนบปผพฟมยรลวสหอ" for second in ("า", "ี", "ู", "\u0e48อ")],
    [""],
)
# Every 28th syllable of the block has no final consonant.
KOREAN = Language(
    "Korean",
    [*map(chr, range(0xAC00, 0xD7A4, 56))],
    [f"{particle} " for particle in ("은", "는", "이", "가", "을", "를", "에", "")],
)


class SampleConversations:
    """Conversations of one user whose word frequencies follow Zipf's law."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.random = random.Random(7)
        self.frequencies = [*accumulate(1 / rank for rank in range(1, VOCABULARY + 1))]
        self.keys = {uuid4(): DataKey.generate() for _ in range(SESSIONS)}
        self.search_key = DataKey.generate()
        self.texts = list[str]()
        self._time = datetime.now(UTC) - timedelta(days=365)

    def text(self) -> str:
        count = self.random.randint(WORDS // 4, WORDS * 7 // 4)
        ranks = self.random.choices(range(VOCABULARY), cum_weights=self.frequencies, k=count)
        words, endings = map(self.language.word, ranks), self.language.endings
        return "".join(word + self.random.choice(endings) for word in words)

    def rows(self) -> Iterator[tuple[SessionRow, Sequence[MessageRow]]]:
        for session_id, key in self.keys.items():
            messages = [self._message(session_id, key, index) for index in range(MESSAGES)]
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

    def _message(self, session_id: UUID, key: DataKey, index: int) -> MessageRow:
        self._time += timedelta(minutes=4)
        self.texts.append(text := self.text())
        event_id = uuid4()
        return MessageRow(
            session_id=session_id,
            version=index + 2,
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


async def run() -> None:
    for language in (ENGLISH, THAI, KOREAN):
        await measure(language)


async def measure(language: Language) -> None:
    conversations = SampleConversations(language)
    async with (
        postgres() as dsn,
        open_pool(dsn, max_connections=2, timeout_seconds=60, application_name="benchmark") as pool,
    ):
        connection = await asyncpg.connect(dsn)
        await migrate_history(connection)
        await _store(connection, conversations)
        keys = DataKeyCache(conversations.session_keys)
        search_keys = KeyCache(conversations.search_keys)
        rate = await _index(connection, conversations, keys, search_keys)
        await connection.execute("VACUUM ANALYZE")
        [sizes] = await connection.fetch(SIZES)
        search = MessageSearch(MatchRepository(pool), keys, search_keys, SearchLimitSettings())
        baseline = await _measure(lambda: _read_session(pool, conversations))
        rows = [Row("words indexed", per_second(rate, "messages"))]
        for name, queries in _queries(conversations).items():
            texts = iter(queries)
            times = await _measure(
                lambda texts=texts: search.search(  # type: ignore[misc]
                    Caller(ADA, "benchmark"), SearchRequest(frozenset(words_of_query(next(texts))))
                )
            )
            rows += _rows(name, times, baseline)
        rows.append(_scan(conversations))
        await connection.close()
    table, indexes, tokens, messages = (f"{size / 1e6:.0f} MB" for size in sizes)
    rows += [
        Row("size of the word index table", table, messages),
        Row("size of its indexes, and of the one by word", f"{indexes}, {tokens}"),
    ]
    print_table(
        f"Search: {SESSIONS * MESSAGES:,} messages of one user in {language.name}, 20 results; the"
        " baseline reads and decrypts 20 messages of a known session",
        rows,
    )


async def _store(
    connection: "asyncpg.Connection[asyncpg.Record]", conversations: SampleConversations
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
    conversations: SampleConversations,
    keys: DataKeyCache,
    search_keys: KeyCache[Person],
) -> float:
    indexer, ids = SessionIndexer(connection, keys, search_keys), [*conversations.keys]
    started_at = time.perf_counter()
    added = 0
    for start in range(0, len(ids), 100):
        added += await indexer.index(ids[start : start + 100], "benchmark")
    assert added == SESSIONS * MESSAGES
    return added / (time.perf_counter() - started_at)


def _queries(conversations: SampleConversations) -> dict[str, Sequence[str]]:
    """Queries by the number of messages that contain their words."""
    draw, word = conversations.random.randrange, conversations.language.word

    def words(*ranges: tuple[int, int]) -> Sequence[str]:
        return [" ".join(word(draw(*each)) for each in ranges) for _ in range(ROUNDS)]

    return {
        "a rare word": words((20_000, 50_000)),
        "an ordinary word": words((300, 3_000)),
        "a common word": words((0, 20)),
        "a common and a rare word": words((0, 20), (20_000, 50_000)),
        "two common words": words((0, 20), (20, 60)),
        "two ordinary words": words((60, 300), (300, 3_000)),
        "three words that seldom occur together": words((5, 60), (60, 300), (60, 300)),
    }


async def _measure(operation: Callable[[], Awaitable[Any]]) -> list[float]:
    samples = []
    for _ in range(ROUNDS):
        started_at = time.perf_counter()
        await operation()
        samples.append(time.perf_counter() - started_at)
    return samples


async def _read_session(pool: Pool, conversations: SampleConversations) -> None:
    session_id = conversations.random.choice([*conversations.keys])
    rows = await pool.fetch(READ_SESSION, session_id)
    key = conversations.keys[session_id]
    assert len([message_json(MessageRow(*row.values()), key) for row in rows]) == 20


def _rows(name: str, times: Sequence[float], baseline: Sequence[float]) -> list[Row]:
    return [
        time_row(f"{name}, p{part}", percentile(times, part), percentile(baseline, part))
        for part in (50, 99)
    ]


def _scan(conversations: SampleConversations) -> Row:
    """For comparison: a scan of decrypted texts in memory."""
    started_at = time.perf_counter()
    sum(conversations.language.word(30_000) in text for text in conversations.texts)
    seconds = time.perf_counter() - started_at
    return Row("(scan of all decrypted texts in memory)", milliseconds(seconds))
