"""Sessions that grow: what the relay has to carry."""

import asyncio
from uuid import UUID

from parley_session.executing import Asker
from session_peers.client import ADA
from session_peers.commands import complete_reply, start_session, submit_message
from session_peers.parts import Parts

ASKER = Asker(ADA, "req-1")


async def append_turns(parts: Parts, turns: int) -> UUID:
    """A new session with that many turns: one event, and three for each turn."""
    command = start_session()
    session_id = command.session_id
    await parts.executor.execute(session_id, command, ASKER)
    for _ in range(turns):
        await append_turn(parts, session_id)
    return session_id


async def append_turn(parts: Parts, session_id: UUID) -> None:
    submit = submit_message()
    await parts.executor.execute(session_id, submit, ASKER)
    await parts.executor.execute(session_id, complete_reply(submit.turn_id), ASKER)


async def append_sessions(parts: Parts, sessions: int, turns: int) -> None:
    await asyncio.gather(*(append_turns(parts, turns) for _ in range(sessions)))
