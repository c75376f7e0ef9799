"""What happens between the steps of a command, where another process comes first."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import pytest
from session_peers.client import ADA
from session_peers.commands import complete_reply, start_session, submit_message
from session_peers.parts import parts_on
from session_peers.service import MASTER_KEY

from parley_core.crypto.master_keys import MasterKeys
from parley_core.http.errors import IdempotencyKeyReused, Unavailable
from parley_core.storage.postgres_pool import Pool
from parley_session.application.command_executor import (
    AlreadyExecuted,
    Caller,
    CommandExecutor,
    CommandFor,
    CommandResult,
)
from parley_session.application.idempotency import IdempotentRequest, idempotent_request
from parley_session.domain.session.commands import Command
from parley_session.domain.session.errors import TurnAlreadyEnded, TurnOpen
from parley_session.storage.event_store import EventStore
from parley_session.storage.turn_store import TurnRow, TurnStore

ASKER = Caller(ADA, "req-1")
Meanwhile = Callable[[], Awaitable[Any]]


class Interrupted(EventStore):
    """Something else happens once, after the first or second thing that is read."""

    def __init__(self, pool: Pool, meanwhile: Meanwhile, after: int) -> None:
        super().__init__(pool, MasterKeys.parse(MASTER_KEY), most_sessions_kept=10)
        self._meanwhile, self._reads_left = meanwhile, after

    async def load(self, *arguments: Any) -> Any:
        return await self._then_meanwhile(await super().load(*arguments))

    async def recall(self, *arguments: Any) -> Any:
        return await self._then_meanwhile(await super().recall(*arguments))

    async def _then_meanwhile(self, found: Any) -> Any:
        self._reads_left -= 1
        if self._reads_left == 0:
            await self._meanwhile()
        return found


def keyed(body: str = "same") -> IdempotentRequest:
    request = idempotent_request(ADA, "POST", "/x", "k1", body)
    assert request is not None
    return request


def given(command: Command) -> CommandFor:
    return lambda _: command


@pytest.fixture
def executor(pool: Pool) -> CommandExecutor:
    """Of another process."""
    store = EventStore(pool, MasterKeys.parse(MASTER_KEY), most_sessions_kept=10)
    return CommandExecutor(store, attempts=3)


@pytest.mark.parametrize("after", [1, 2])
async def test_the_same_submit_elsewhere_is_found_whenever_it_commits(
    pool: Pool, executor: CommandExecutor, after: int
) -> None:
    command = start_session()
    await executor.execute(command.session_id, given(command), ASKER)
    done = []

    async def same_submit_elsewhere() -> None:
        first = submit_message()
        await executor.execute(command.session_id, given(first), ASKER, request=keyed())
        done.append(first.turn_id)

    late = CommandExecutor(Interrupted(pool, same_submit_elsewhere, after), attempts=3)
    found = await late.execute(command.session_id, given(submit_message()), ASKER, request=keyed())
    assert found == AlreadyExecuted(command.session_id, done[0])


@pytest.mark.parametrize("after", [1, 2])
async def test_the_same_start_elsewhere_is_found_whenever_it_commits(
    pool: Pool, executor: CommandExecutor, after: int
) -> None:
    session_id = uuid4()

    async def same_start_elsewhere() -> None:
        first = start_session(session_id)
        await executor.execute(session_id, given(first), ASKER, request=keyed())

    late = CommandExecutor(Interrupted(pool, same_start_elsewhere, after), attempts=3)
    found = await late.execute(session_id, given(start_session(session_id)), ASKER, request=keyed())
    assert found == AlreadyExecuted(session_id, None)


@pytest.mark.parametrize("after", [1, 2])
async def test_the_same_key_with_another_body_is_refused_whenever_it_commits(
    pool: Pool, executor: CommandExecutor, after: int
) -> None:
    async def other_start_elsewhere() -> None:
        first = start_session()
        await executor.execute(first.session_id, given(first), ASKER, request=keyed("other"))

    late = CommandExecutor(Interrupted(pool, other_start_elsewhere, after), attempts=3)
    command = start_session()
    with pytest.raises(IdempotencyKeyReused):
        await late.execute(command.session_id, given(command), ASKER, request=keyed())
    assert await pool.fetchval("SELECT count(*) FROM sessions") == 1


async def test_a_turn_that_ends_while_it_is_read_is_shown_whole(
    pool: Pool, executor: CommandExecutor
) -> None:
    start, submit = start_session(), submit_message()
    await executor.execute(start.session_id, given(start), ASKER)
    await executor.execute(start.session_id, given(submit), ASKER)

    class EndsMeanwhile(TurnStore):
        async def find(self, turn_id: UUID) -> TurnRow:
            row = await super().find(turn_id)
            with suppress(TurnAlreadyEnded):
                await executor.execute(start.session_id, given(complete_reply(turn_id)), ASKER)
            return row

    parts = parts_on(pool, EndsMeanwhile(pool))
    for status in ("running", "completed"):
        turn = await parts.sessions.turn(submit.turn_id, ADA)
        assert turn.status == status
        assert (turn.reply is None) == (status == "running")


async def test_a_command_is_decided_again_when_another_append_came_first(
    pool: Pool, executor: CommandExecutor
) -> None:
    command = start_session()
    await executor.execute(command.session_id, given(command), ASKER)

    async def other_submit() -> None:
        await executor.execute(command.session_id, given(submit_message()), ASKER)

    late = CommandExecutor(Interrupted(pool, other_submit, 1), attempts=3)
    with pytest.raises(TurnOpen):
        await late.execute(command.session_id, given(submit_message()), ASKER)


async def test_a_session_that_was_loaded_before_another_append_is_loaded_again(
    executor: CommandExecutor,
) -> None:
    command = start_session()
    started = await executor.execute(command.session_id, given(command), ASKER)
    assert isinstance(started, CommandResult)
    await executor.execute(command.session_id, given(submit_message()), ASKER)
    with pytest.raises(TurnOpen):
        await executor.execute(
            command.session_id, given(submit_message()), ASKER, loaded=started.held
        )


async def test_a_command_gives_up_after_its_attempts_and_stores_nothing(
    pool: Pool, executor: CommandExecutor
) -> None:
    command = start_session()
    await executor.execute(command.session_id, given(command), ASKER)

    class AlwaysLate(EventStore):
        attempts = 0

        async def append(self, *_: Any, **__: Any) -> None:
            self.attempts += 1

    store = AlwaysLate(pool, MasterKeys.parse(MASTER_KEY), most_sessions_kept=10)
    with pytest.raises(Unavailable) as refused:
        await CommandExecutor(store, attempts=3).execute(
            command.session_id, given(submit_message()), ASKER
        )
    assert (refused.value.status, refused.value.code, store.attempts) == (503, "session_busy", 3)
    done = await executor.execute(command.session_id, given(submit_message()), ASKER)
    assert isinstance(done, CommandResult)
