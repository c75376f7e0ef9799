"""Seeding the shared assistants at each migration."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import asyncpg
import pytest

from parley_core.storage.migrations import load_migrations, migrate
from parley_core.storage.postgres_pool import Pool, open_pool
from parley_session.api.errors import http_error_of
from parley_session.application.assistants.assistant_catalogue import AssistantCatalogue
from parley_session.application.assistants.page_query import page_query_of
from parley_session.application.assistants.seeding import seed_assistants
from parley_session.domain.assistant.errors import AssistantNotFound
from parley_session.domain.assistant.state import Definition
from parley_session.storage.assistant_repository import AssistantRepository
from parley_session.storage.migrations import MIGRATIONS

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # Not subscriptable at run time.

COOK = Definition("Cook", "Cooks.", "Be a cook.", default=True)
POET = Definition("Poet", "Rhymes.", "Rhyme.", model="m1")


@pytest.fixture
async def own_pool(database: str) -> AsyncIterator[Pool]:
    """A pool on a migrated database without assistants."""
    async with open_pool(
        database, max_connections=8, timeout_seconds=10, application_name="test"
    ) as pool:
        async with pool.acquire() as connection:
            await migrate(cast(Connection, connection), load_migrations(MIGRATIONS))
        yield pool


async def seed(pool: Pool, **definitions: Definition) -> int:
    async with pool.acquire() as connection:
        return await seed_assistants(cast(Connection, connection), definitions)


async def listed(pool: Pool) -> list[tuple[str, int, str, bool]]:
    found, _ = await catalogue(pool).list_page("acme", page_query_of({}))
    shapes = [assistant.shape for assistant in found]
    return [(shape.id, shape.version, shape.name, shape.default) for shape in shapes]


def catalogue(pool: Pool) -> AssistantCatalogue:
    return AssistantCatalogue(AssistantRepository(pool), "demo")


async def test_the_shared_assistants_become_those_of_the_file(own_pool: Pool) -> None:
    assert await seed(own_pool, cook=COOK, poet=POET) == 2
    assert await listed(own_pool) == [("cook", 1, "Cook", True), ("poet", 1, "Poet", False)]
    assert await seed(own_pool, cook=COOK, poet=POET) == 0

    chef, bard = replace(COOK, name="Chef"), Definition("Bard", "Sings.", "Sing.")
    assert await seed(own_pool, cook=chef, bard=bard) == 3
    assert await listed(own_pool) == [("cook", 2, "Chef", True), ("bard", 1, "Bard", False)]
    poet = await catalogue(own_pool).get("acme", "poet")
    assert (poet.shape.retired, poet.instructions, poet.model) == (True, "Rhyme.", "m1")

    # An assistant that returns to the file keeps its position.
    assert await seed(own_pool, cook=chef, poet=POET, bard=bard) == 1
    assert [each[:2] for each in await listed(own_pool)] == [("cook", 2), ("poet", 3), ("bard", 1)]


async def test_the_default_assistant_is_the_first_of_the_latest_file(own_pool: Pool) -> None:
    await seed(own_pool, cook=COOK, poet=POET)
    assert (await catalogue(own_pool).get("acme", None)).shape.id == "cook"
    await seed(own_pool, poet=replace(POET, default=True), cook=replace(COOK, default=False))
    assert (await catalogue(own_pool).get("acme", None)).shape.id == "poet"
    assert [each[3] for each in await listed(own_pool)] == [False, True]


async def test_concurrent_migrations_seed_once(own_pool: Pool) -> None:
    changed = await asyncio.gather(
        *(seed(own_pool, cook=COOK, poet=POET) for _ in range(6)),
    )
    assert sorted(changed) == [0, 0, 0, 0, 0, 2]
    assert await own_pool.fetchval("SELECT count(*) FROM assistant_events") == 2
    assert await own_pool.fetchval("SELECT count(*) FROM assistant_outbox") == 2


async def test_a_migration_killed_while_seeding_changes_nothing(own_pool: Pool) -> None:
    await seed(own_pool, cook=COOK)
    await own_pool.execute("ALTER TABLE assistants ADD CHECK (id <> 'poet')")
    with pytest.raises(asyncpg.CheckViolationError):
        await seed(own_pool, cook=replace(COOK, name="Chef"), poet=POET)
    assert await listed(own_pool) == [("cook", 1, "Cook", True)]


async def test_an_unknown_assistant_is_not_found_and_the_error_names_the_field(
    own_pool: Pool,
) -> None:
    for assistant_id in ("nobody", None):
        with pytest.raises(AssistantNotFound) as rejected:
            await catalogue(own_pool).get("acme", assistant_id)
        error = http_error_of(rejected.value)
        assert (error.code, error.param) == ("assistant_not_found", "assistant_id")
