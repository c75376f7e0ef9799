"""A topic, and what `parley log tail` shows of it."""

import json
from typing import Any

import pytest

from cli_peers.log import Conversation, append
from parley_cli.log.tail.command import KeyHolder, TailOptions, tail
from parley_cli.log.tail.filters import FilterOptions
from parley_core.log import (
    Brokers,
)

Output = pytest.CaptureFixture[str]
EVERYTHING = FilterOptions()


class Log:
    """A topic of this test alone, and what `parley log tail` shows of it."""

    def __init__(self, brokers: Brokers, topic: str, output: Output) -> None:
        self.brokers, self.topic, self._output = brokers, topic, output

    async def has(self, *conversations: Conversation) -> None:
        # One after the other: the order in the log is not that of the times.
        for each in conversations:
            await append(self.brokers, self.topic, each.records)

    async def shown(
        self,
        selection: FilterOptions = EVERYTHING,
        keys: KeyHolder | None = None,
        **asked: Any,
    ) -> list[str]:
        self._output.readouterr()
        await tail(self.brokers, self.topic, TailOptions(selection, **asked), keys)
        return self._output.readouterr().out.splitlines()

    async def events(
        self,
        selection: FilterOptions = EVERYTHING,
        **asked: Any,
    ) -> list[Any]:
        return [json.loads(line) for line in await self.shown(selection, as_json=True, **asked)]


def subjects(events: list[Any]) -> set[str]:
    return {event["subject"] for event in events}
