"""Commands with many messages run in a thread, so that they do not block the event loop."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from session_support.appending import CALLER
from session_support.commands import start_session
from session_support.components import components_on
from session_support.deciding import NOON

from parley_core.storage.postgres_pool import Pool
from parley_session.application.command_executor import CommandResult
from parley_session.domain.session.commands import ImportedMessage, StartSession

MANY, FEW = 9, 8


class Watched(list[Any]):
    """Records the threads that iterate over it."""

    def __init__(self, items: Iterable[Any]) -> None:
        super().__init__(items)
        self.threads: set[int] = set()

    def __iter__(self) -> Iterator[Any]:
        self.threads.add(threading.get_ident())
        return super().__iter__()

    @property
    def elsewhere(self) -> bool:
        return bool(self.threads - {threading.get_ident()})


def start_with(messages: int) -> StartSession:
    said = (ImportedMessage(uuid4(), "user", "hello", NOON) for _ in range(messages))
    return replace(start_session(), messages=Watched(said))


@pytest.mark.parametrize(("messages", "elsewhere"), [(FEW, False), (MANY, True)])
async def test_many_messages_are_sealed_in_a_thread(
    pool: Pool, messages: int, elsewhere: bool
) -> None:
    components, command = components_on(pool), start_with(messages)
    done = await components.executor.execute(command.session_id, lambda _: command, CALLER)
    assert isinstance(done, CommandResult)
    assert len(done.events) == messages + 1
    assert isinstance(command.messages, Watched)
    assert command.messages.elsewhere == elsewhere


async def test_many_events_are_encoded_in_a_thread(pool: Pool) -> None:
    components, command = components_on(pool), start_with(MANY)
    done = await components.executor.execute(command.session_id, lambda _: command, CALLER)
    assert isinstance(done, CommandResult)
    await pool.execute("TRUNCATE sessions, events, outbox")
    events = Watched(done.events)
    loaded = await components.store.append(None, events, key=done.loaded.key)
    assert loaded == done.loaded
    assert events.elsewhere
