"""What completions used is told, or said to be lost, each by its id."""

import asyncio
from uuid import uuid4

from inference_peers.session import ADA

from parley_core.http.errors import Unavailable
from parley_events.values import Usage
from parley_inference.completions.usage_reporter import UsageReporter, UsageReporterSettings
from parley_inference.session.usage_record import UsageRecord


class Away:
    """A session that takes nothing."""

    async def completion_served(self, served):
        raise Unavailable("away", code="session_unavailable")


def served():
    usage = Usage(prompt_tokens=1, completion_tokens=1)
    return UsageRecord(uuid4(), ADA, "req-1", "demo", "completed", usage, None)


async def test_what_is_not_told_when_the_process_ends_is_lost_by_its_id(caplog):
    limits = UsageReporterSettings(waiting=2, at_once=1, tries_seconds=60, longest_pause=60)
    records = UsageReporter(Away(), limits)
    being_told, waiting, too_many = served(), served(), served()
    async with records.run(last_seconds=0.01):
        records.add(being_told)
        await asyncio.sleep(0)
        records.add(waiting)
        records.add(served())
        records.add(too_many)
    assert records.lost == 4
    for one, why in (
        (too_many, "the queue is full"),
        (being_told, "this process ends"),
        (waiting, "this process ends"),
    ):
        assert f"completion {one.id} is not recorded: {why}" in caplog.text
