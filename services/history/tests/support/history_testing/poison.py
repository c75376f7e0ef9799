"""Records that can never be decoded."""

from dataclasses import replace

from history_testing.read_model import project
from history_testing.stories import Story
from parley_events.cloudevents import Record
from parley_history.projection.active_read_model import ActiveReadModel


def poisoned(record: Record) -> Record:
    return replace(record, value=b'{"content": \x1b[2J')


async def project_with_poison(
    read_model: ActiveReadModel, story: Story, index: int
) -> list[Record]:
    """Project the story with the record at the index poisoned; return the records."""
    records = story.records
    records[index] = poisoned(records[index])
    await project(read_model, records)
    return records
