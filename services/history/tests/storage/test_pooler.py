"""Reads through PgBouncer in transaction mode, where two server connections serve all."""

import asyncio

from history_testing.fixtures import ProjectStory, StartHistory
from history_testing.read_model import ReadModelTables
from history_testing.stories import Story
from pgbouncer import pgbouncer

READERS = 20


async def test_sessions_are_read_through_a_pooler_in_transaction_mode(
    start: StartHistory, tables: ReadModelTables, project_story: ProjectStory
) -> None:
    stories = [Story() for _ in range(5)]
    for number, story in enumerate(stories):
        for turn in range(3):
            story.request_reply(story.submit(f"question {number} {turn}"))
            story.reply(f"answer {number} {turn}")
        await project_story(story)

    async with pgbouncer(tables.reader_dsn) as pooler_url:
        history = await start(pooler_url=pooler_url)

        async def read(reader: int) -> None:
            number = reader % len(stories)
            page = await history.read(stories[number].id)
            assert page.contents[0] == f"answer {number} 2"
            assert len(page.contents) == 6
            assert len((await history.list()).json["data"]) == len(stories)

        await asyncio.gather(*map(read, range(READERS)))
