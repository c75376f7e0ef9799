"""A topic of its own for a test, and the output of `parley log tail` on it."""

import json
from typing import Any

import pytest

from cli_fakes.conversation import FakeConversation, append
from parley_cli.log.tail.command import TailOptions, tail
from parley_cli.log.tail.filters import FilterOptions
from parley_cli.service_commands.locations import SessionAccess
from parley_core.log import Brokers

Output = pytest.CaptureFixture[str]
EVERYTHING = FilterOptions()


class TailedLog:
    """A topic, and the output of `parley log tail` on it."""

    def __init__(self, brokers: Brokers, topic: str, output: Output) -> None:
        self.brokers, self.topic, self._output = brokers, topic, output

    async def append(self, *conversations: FakeConversation) -> None:
        # Appended one by one, so that the log is not in order of the times.
        for conversation in conversations:
            await append(self.brokers, self.topic, conversation.records)

    async def lines(
        self,
        filters: FilterOptions = EVERYTHING,
        session: SessionAccess | None = None,
        **options: Any,
    ) -> list[str]:
        self._output.readouterr()
        await tail(self.brokers, self.topic, TailOptions(filters, **options), session)
        return self._output.readouterr().out.splitlines()

    async def events(
        self,
        filters: FilterOptions = EVERYTHING,
        **options: Any,
    ) -> list[Any]:
        return [json.loads(line) for line in await self.lines(filters, as_json=True, **options)]


def subjects(events: list[Any]) -> set[str]:
    return {event["subject"] for event in events}
