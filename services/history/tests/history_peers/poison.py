"""A story with a record in it that can never be decoded."""

from dataclasses import replace

from history_peers.read_model import project
from parley_events.cloudevents import Record


def poisoned(record: Record) -> Record:
    return replace(record, value=b'{"content": \x1b[2J')


async def with_poison(read_model, story, place):
    """Project the story with the value at that place of it broken; answers the records."""
    records = story.records
    records[place] = poisoned(records[place])
    await project(read_model, records)
    return records
