"""The parts of a session process on a test's own pool, for what has no route (yet)."""

from dataclasses import dataclass
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_core.crypto.master_keys import MasterKeys
from parley_core.storage.postgres_pool import Pool
from parley_core.streaming.turn_buffer_redis import TurnBuffers
from parley_session.application.assistants.assistant_catalogue import Catalogue
from parley_session.application.command_executor import Caller, CommandExecutor, utc_now
from parley_session.application.sessions.delete_session import SessionDeletion
from parley_session.application.sessions.session_queries import SessionQueries
from parley_session.application.turns.lease_sweeper import LeaseSweeper
from parley_session.application.turns.partial_reply_recovery import PartialReplyRecovery
from parley_session.application.turns.turn_lifecycle import TurnLifecycle
from parley_session.domain.session.commands import RequestCancel
from parley_session.storage.event_store import EventStore
from parley_session.storage.session_index import SessionIndex
from parley_session.storage.turn_store import TurnStore
from session_peers.client import ADA
from session_peers.service import MASTER_KEY

LEASE = 10


@dataclass(frozen=True)
class Parts:
    store: EventStore
    turns: TurnStore
    executor: CommandExecutor
    sessions: SessionQueries
    running: TurnLifecycle

    def sweeper(self, *, lease: float = LEASE, most_turns: int = 100) -> LeaseSweeper:
        return LeaseSweeper(
            self.turns,
            self.running,
            every_seconds=0.02,
            lease_seconds=lease,
            most_turns=most_turns,
            idempotency_hours=24,
        )

    async def cancel(
        self, turn: dict[str, str], who: Principal = ADA, *, unclaimed: bool = False
    ) -> None:
        command = RequestCancel(UUID(turn["id"]), unclaimed)
        session_id = UUID(turn["session_id"])
        await self.executor.execute(session_id, lambda _: command, Caller(who, "req-1"))


def parts_on(
    pool: Pool, turns: TurnStore | None = None, buffers: TurnBuffers | None = None
) -> Parts:
    store = EventStore(pool, MasterKeys.parse(MASTER_KEY), most_sessions_kept=1_000)
    turns, executor = turns or TurnStore(pool), CommandExecutor(store, attempts=8)
    assistants = Catalogue(pool, "demo", most_kept=100)
    sessions = SessionQueries(store, turns, executor, most_messages=1_000)
    running = TurnLifecycle(
        store,
        turns,
        sessions,
        executor,
        assistants,
        PartialReplyRecovery(buffers),
        context_tokens=1_000,
    )
    return Parts(store, turns, executor, sessions, running)


def erasing_on(pool: Pool) -> SessionDeletion:
    """Without an undelete window."""
    executor = CommandExecutor(
        EventStore(pool, MasterKeys.parse(MASTER_KEY), most_sessions_kept=10), attempts=8
    )
    return SessionDeletion(
        executor, SessionIndex(pool), undelete_days=lambda _, __: 0, clock=utc_now
    )
