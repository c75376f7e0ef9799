"""Races of a command with appends of other processes."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import pytest
from session_support.client import ADA
from session_support.commands import complete_reply, start_session, submit_message
from session_support.components import components_on
from session_support.service import MASTER_KEY, keyring_of

from parley_core.auth.caller import Caller
from parley_core.http.errors import IdempotencyKeyReused, Unavailable
from parley_core.storage.postgres_pool import Pool
from parley_session.application.command_executor import (
    AlreadyExecuted,
    CommandExecutor,
    CommandFor,
    CommandResult,
)
from parley_session.application.idempotency import IdempotentRequest, idempotent_request
from parley_session.domain.session.commands import Command
from parley_session.domain.session.errors import TurnAlreadyEnded, TurnOpen
from parley_session.storage.event_store import EventStore
from parley_session.storage.turn_store import TurnRow, TurnStore

CALLER = Caller(ADA, "req-1")
Meanwhile = Callable[[], Awaitable[Any]]


class Interrupted(EventStore):
    """Runs a callback once, after the first or second read."""

    def __init__(self, pool: Pool, meanwhile: Meanwhile, after: int) -> None:
        super().__init__(pool, keyring_of(MASTER_KEY), max_cache_bytes=1_000_000)
        self._meanwhile, self._reads_left = meanwhile, after

    async def load(self, *arguments: Any) -> Any:
        return await self._then_meanwhile(await super().load(*arguments))

    async def find_idempotency_record(self, *arguments: Any) -> Any:
        return await self._then_meanwhile(await super().find_idempotency_record(*arguments))

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
    """The executor of another process."""
    store = EventStore(pool, keyring_of(MASTER_KEY), max_cache_bytes=1_000_000)
    return CommandExecutor(store, max_attempts=3)


@pytest.mark.parametrize("after", [1, 2])
async def test_an_equal_submit_in_another_process_is_found_whenever_it_commits(
    pool: Pool, executor: CommandExecutor, after: int
) -> None:
    command = start_session()
    await executor.execute(command.session_id, given(command), CALLER)
    done = []

    async def same_submit_elsewhere() -> None:
        first = submit_message()
        await executor.execute(command.session_id, given(first), CALLER, request=keyed())
        done.append(first.turn_id)

    late = CommandExecutor(Interrupted(pool, same_submit_elsewhere, after), max_attempts=3)
    found = await late.execute(command.session_id, given(submit_message()), CALLER, request=keyed())
    assert found == AlreadyExecuted(command.session_id, done[0])


@pytest.mark.parametrize("after", [1, 2])
async def test_an_equal_start_in_another_process_is_found_whenever_it_commits(
    pool: Pool, executor: CommandExecutor, after: int
) -> None:
    session_id = uuid4()

    async def same_start_elsewhere() -> None:
        first = start_session(session_id)
        await executor.execute(session_id, given(first), CALLER, request=keyed())

    late = CommandExecutor(Interrupted(pool, same_start_elsewhere, after), max_attempts=3)
    found = await late.execute(
        session_id, given(start_session(session_id)), CALLER, request=keyed()
    )
    assert found == AlreadyExecuted(session_id, None)


@pytest.mark.parametrize("after", [1, 2])
async def test_a_reused_key_is_rejected_whenever_the_first_request_commits(
    pool: Pool, executor: CommandExecutor, after: int
) -> None:
    async def other_start_elsewhere() -> None:
        first = start_session()
        await executor.execute(first.session_id, given(first), CALLER, request=keyed("other"))

    late = CommandExecutor(Interrupted(pool, other_start_elsewhere, after), max_attempts=3)
    command = start_session()
    with pytest.raises(IdempotencyKeyReused):
        await late.execute(command.session_id, given(command), CALLER, request=keyed())
    assert await pool.fetchval("SELECT count(*) FROM sessions") == 1


async def test_a_turn_that_ends_while_it_is_read_is_consistent(
    pool: Pool, executor: CommandExecutor
) -> None:
    start, submit = start_session(), submit_message()
    await executor.execute(start.session_id, given(start), CALLER)
    await executor.execute(start.session_id, given(submit), CALLER)

    class EndsMeanwhile(TurnStore):
        async def find(self, turn_id: UUID) -> TurnRow:
            row = await super().find(turn_id)
            with suppress(TurnAlreadyEnded):
                await executor.execute(start.session_id, given(complete_reply(turn_id)), CALLER)
            return row

    components = components_on(pool, EndsMeanwhile(pool))
    for status in ("running", "completed"):
        turn = await components.sessions.read_turn(submit.turn_id, ADA)
        assert turn.status == status
        assert (turn.reply is None) == (status == "running")


async def test_a_command_is_decided_again_after_a_concurrent_append(
    pool: Pool, executor: CommandExecutor
) -> None:
    command = start_session()
    await executor.execute(command.session_id, given(command), CALLER)

    async def other_submit() -> None:
        await executor.execute(command.session_id, given(submit_message()), CALLER)

    late = CommandExecutor(Interrupted(pool, other_submit, 1), max_attempts=3)
    with pytest.raises(TurnOpen):
        await late.execute(command.session_id, given(submit_message()), CALLER)


async def test_a_preloaded_session_is_loaded_again_after_a_concurrent_append(
    executor: CommandExecutor,
) -> None:
    command = start_session()
    started = await executor.execute(command.session_id, given(command), CALLER)
    assert isinstance(started, CommandResult)
    await executor.execute(command.session_id, given(submit_message()), CALLER)
    with pytest.raises(TurnOpen):
        await executor.execute(
            command.session_id, given(submit_message()), CALLER, preloaded=started.loaded
        )


async def test_a_command_gives_up_after_its_attempts_and_stores_nothing(
    pool: Pool, executor: CommandExecutor
) -> None:
    command = start_session()
    await executor.execute(command.session_id, given(command), CALLER)

    class AlwaysLate(EventStore):
        attempts = 0

        async def append(self, *_: Any, **__: Any) -> None:
            self.attempts += 1

    store = AlwaysLate(pool, keyring_of(MASTER_KEY), max_cache_bytes=1_000_000)
    with pytest.raises(Unavailable) as rejected:
        await CommandExecutor(store, max_attempts=3).execute(
            command.session_id, given(submit_message()), CALLER
        )
    assert (rejected.value.status, rejected.value.code, store.attempts) == (503, "session_busy", 3)
    done = await executor.execute(command.session_id, given(submit_message()), CALLER)
    assert isinstance(done, CommandResult)
