"""Components of the session service on the pool of a test, for behaviour without a route."""

from dataclasses import dataclass
from uuid import UUID

from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_core.streaming.turn_buffer_redis import TurnBuffers
from parley_session.application.assistants.assistant_catalogue import AssistantCatalogue
from parley_session.application.command_executor import CommandExecutor, utc_now
from parley_session.application.sessions.delete_session import SessionDeletion
from parley_session.application.sessions.session_queries import SessionQueries
from parley_session.application.turns.lease_sweeper import LeaseSweeper
from parley_session.application.turns.partial_reply_recovery import PartialReplyRecovery
from parley_session.application.turns.prompt_builder import PromptBuilder
from parley_session.application.turns.turn_lifecycle import TurnLifecycle
from parley_session.domain.session.commands import RequestCancel
from parley_session.storage.assistant_repository import AssistantRepository
from parley_session.storage.event_store import EventStore
from parley_session.storage.session_index import SessionIndex
from parley_session.storage.turn_counts import TurnCounts
from parley_session.storage.turn_store import TurnStore
from parley_testing.eventually import eventually
from session_support.client import ADA
from session_support.service import MASTER_KEY, keyring_of

LEASE = 10


@dataclass(frozen=True)
class Components:
    store: EventStore
    turns: TurnStore
    counts: TurnCounts
    executor: CommandExecutor
    sessions: SessionQueries
    lifecycle: TurnLifecycle

    def sweeper(self, *, lease: float = LEASE, max_turns: int = 100) -> LeaseSweeper:
        return LeaseSweeper(
            self.turns,
            self.counts,
            self.lifecycle,
            interval_seconds=0.02,
            lease_seconds=lease,
            max_turns=max_turns,
            idempotency_hours=24,
        )

    async def cancel(
        self, turn: dict[str, str], who: Principal = ADA, *, unclaimed: bool = False
    ) -> None:
        command = RequestCancel(UUID(turn["id"]), unclaimed)
        session_id = UUID(turn["session_id"])
        await self.executor.execute(session_id, lambda _: command, Caller(who, "req-1"))


def components_on(
    pool: Pool, turns: TurnStore | None = None, buffers: TurnBuffers | None = None
) -> Components:
    store = EventStore(pool, keyring_of(MASTER_KEY), max_cache_bytes=1_000_000)
    turns, executor = turns or TurnStore(pool), CommandExecutor(store, max_attempts=8)
    assistants = AssistantCatalogue(AssistantRepository(pool), "demo")
    sessions = SessionQueries(store, turns, executor, max_messages=1_000)
    lifecycle = TurnLifecycle(
        store,
        turns,
        sessions,
        executor,
        PromptBuilder(store, assistants, 1_000),
        PartialReplyRecovery(buffers),
    )
    return Components(store, turns, TurnCounts(pool), executor, sessions, lifecycle)


async def until_blocked(pool: Pool, statements: int = 1) -> None:
    """Wait until this number of statements waits for the lock of another transaction."""

    async def are_blocked() -> bool:
        blocked = await pool.fetchval(
            """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'
            """
        )
        return bool(blocked == statements)

    await eventually(are_blocked)


def deletion_on(pool: Pool) -> SessionDeletion:
    """A `SessionDeletion` without an undelete window."""
    executor = CommandExecutor(
        EventStore(pool, keyring_of(MASTER_KEY), max_cache_bytes=1_000_000), max_attempts=8
    )
    return SessionDeletion(
        executor, SessionIndex(pool), undelete_days=lambda _, __: 0, clock=utc_now
    )
