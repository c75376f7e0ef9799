"""Sessions that grow: what the relay has to carry."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from parley_session.application.command_executor import Caller, CommandExecutor
from parley_session.storage.event_store import EventStore, LoadedSession
from session_peers.client import ADA
from session_peers.commands import complete_reply, start_session, submit_message
from session_peers.parts import Parts

ASKER = Caller(ADA, "req-1")


async def start(
    store: EventStore, asker: Caller = ASKER, session_id: UUID | None = None
) -> LoadedSession:
    session_id = session_id or uuid4()
    done = await CommandExecutor(store, attempts=1).execute(
        session_id, lambda _: start_session(session_id), asker
    )
    return done.held


async def execute(
    store: EventStore, session_id: UUID, command: Any, asker: Caller = ASKER
) -> LoadedSession:
    done = await CommandExecutor(store, attempts=1).execute(session_id, lambda _: command, asker)
    return done.held


async def append_turns(parts: Parts, turns: int) -> UUID:
    """A new session with that many turns: one event, and three for each turn."""
    session_id = (await start(parts.store)).session.id
    for _ in range(turns):
        await append_turn(parts, session_id)
    return session_id


async def append_turn(parts: Parts, session_id: UUID) -> None:
    submit = submit_message()
    await execute(parts.store, session_id, submit)
    await execute(parts.store, session_id, complete_reply(submit.turn_id))


async def append_sessions(parts: Parts, sessions: int, turns: int) -> None:
    await asyncio.gather(*(append_turns(parts, turns) for _ in range(sessions)))
