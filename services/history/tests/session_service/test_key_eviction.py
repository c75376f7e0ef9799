"""The keys of deleted and erased sessions are evicted as soon as that is projected."""

import asyncio
from typing import Any

from history_testing.fixtures import ProjectStory
from history_testing.read_model import ReadModelTables, project
from history_testing.stories import chat

from parley_core.storage.postgres_pool import open_pool
from parley_history.projection.active_read_model import ActiveReadModel
from parley_history.session_service.key_cache import DataKeyCache
from parley_history.session_service.key_eviction import KeyEviction
from parley_testing.eventually import eventually


async def test_the_keys_of_deleted_and_erased_sessions_are_evicted(
    tables: ReadModelTables, project_story: ProjectStory, read_model: ActiveReadModel
) -> None:
    erased, deleted, open_session, missed = [await project_story(chat(1)) for _ in range(4)]
    stories = (erased, deleted, open_session, missed)
    secrets = {story.id: story.key for story in stories}

    async def load(ids: Any, _: Any) -> Any:
        return {id: secrets[id] for id in ids}

    keys = DataKeyCache(load)
    await keys.get_many([story.id for story in stories], "r")
    async with open_pool(
        tables.dsn, max_connections=1, timeout_seconds=5, application_name="test"
    ) as pool:
        eviction = KeyEviction(pool, keys)
        running = asyncio.create_task(eviction.run())
        for story in (erased, deleted, missed):
            story.delete() if story is deleted else story.erase()
            await project(read_model, story.records[-1:])
        eviction.changed([erased.id, deleted.id, open_session.id])
        await eventually(lambda: {*keys.cached_ids} == {open_session.id, missed.id})
        # Sessions that changed while the feed was interrupted are checked when it starts again.
        eviction.started()
        await eventually(lambda: keys.cached_ids == [open_session.id])
        running.cancel()
