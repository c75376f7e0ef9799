"""Fixtures of the search tests."""

from typing import Any

import pytest
from history_testing.fixtures import StartHistory
from history_testing.read_model import ReadModelTables

from parley_testing.eventually import eventually


@pytest.fixture
async def searched(start: StartHistory) -> Any:
    return await start(indexer_enabled=True)


@pytest.fixture
def indexed(tables: ReadModelTables) -> Any:
    """Waits until the stories, and nothing else, are completely indexed."""

    def indexed(*stories: Any) -> Any:
        async def is_complete() -> bool:
            rows = await tables.connection.fetch("SELECT session_id, version FROM search_sessions")
            expected = {story.id: story.version for story in stories}
            return {row["session_id"]: row["version"] for row in rows} == expected

        return eventually(is_complete, within=15)

    return indexed
