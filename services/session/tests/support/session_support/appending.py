"""Appends events to sessions without HTTP."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from parley_core.auth.caller import Caller
from parley_session.application.command_executor import AlreadyExecuted, CommandExecutor
from parley_session.storage.event_store import EventStore, LoadedSession
from session_support.client import ADA
from session_support.commands import complete_reply, start_session, submit_message
from session_support.components import Components

CALLER = Caller(ADA, "req-1")


async def start(
    store: EventStore, caller: Caller = CALLER, session_id: UUID | None = None
) -> LoadedSession:
    session_id = session_id or uuid4()
    result = await CommandExecutor(store, max_attempts=1).execute(
        session_id, lambda _: start_session(session_id), caller
    )
    assert not isinstance(result, AlreadyExecuted)
    return result.loaded


async def execute(
    store: EventStore, session_id: UUID, command: Any, caller: Caller = CALLER
) -> LoadedSession:
    result = await CommandExecutor(store, max_attempts=1).execute(
        session_id, lambda _: command, caller
    )
    assert not isinstance(result, AlreadyExecuted)
    return result.loaded


async def append_turns(components: Components, turns: int) -> UUID:
    """A new session with this number of turns: one event, plus three per turn."""
    session_id = (await start(components.store)).session.id
    for _ in range(turns):
        await append_turn(components, session_id)
    return session_id


async def append_turn(components: Components, session_id: UUID) -> None:
    submit = submit_message()
    await execute(components.store, session_id, submit)
    await execute(components.store, session_id, complete_reply(submit.turn_id))


async def append_sessions(components: Components, sessions: int, turns: int) -> None:
    await asyncio.gather(*(append_turns(components, turns) for _ in range(sessions)))
