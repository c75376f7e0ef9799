"""The one place where session is put together."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette

from parley_core.http.body_limit import BodyLimitMiddleware
from parley_core.http.error_handlers import RequestIdMiddleware, install_error_handlers
from parley_core.http.service_auth import ServiceAuthenticator
from parley_core.log import LogWriter
from parley_core.runtime.background_tasks import background_tasks
from parley_core.runtime.metrics import metrics_route, new_registry
from parley_core.storage.postgres_pool import Pool, open_pool
from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker
from parley_core.streaming.turn_buffer_redis import TurnBuffers
from parley_session.api.errors import STORE_TROUBLE, install_refusals
from parley_session.api.routes import routes
from parley_session.application.assistants.administration import AssistantAdministration
from parley_session.application.assistants.assistant_catalogue import Catalogue
from parley_session.application.command_executor import CommandExecutor, utc_now
from parley_session.application.retention import Retention, RetentionLimits
from parley_session.application.retention_policy_file import read_policies
from parley_session.application.sessions.delete_session import SessionDeletion
from parley_session.application.sessions.fork_session import SessionForker
from parley_session.application.sessions.import_messages import MessageImporter
from parley_session.application.sessions.record_completion import CompletionRecorder
from parley_session.application.sessions.session_queries import SessionQueries
from parley_session.application.sessions.start_session import SessionStarter
from parley_session.application.sessions.update_session import SessionUpdater
from parley_session.application.token_counter import load_vocabulary
from parley_session.application.turns.lease_sweeper import LeaseSweeper
from parley_session.application.turns.partial_reply_recovery import PartialReplyRecovery
from parley_session.application.turns.submit_message import TurnCommands
from parley_session.application.turns.turn_lifecycle import TurnLifecycle
from parley_session.domain.retention_policy import Policies
from parley_session.metrics import Metrics
from parley_session.parts import Parts
from parley_session.relay.outbox import ASSISTANTS, SESSIONS
from parley_session.relay.relay import Relay, RelayLimits
from parley_session.settings import RelaySettings, SessionSettings
from parley_session.storage.assistant_store import AssistantStore
from parley_session.storage.event_store import EventStore
from parley_session.storage.search_keys import SearchKeys
from parley_session.storage.session_index import SessionIndex
from parley_session.storage.turn_store import TurnStore

log = logging.getLogger(__name__)


def create_app(settings: SessionSettings) -> Starlette:
    """The application, with its relays, its sweeper and its retention. Raises InvalidSettings."""
    policies = read_policies(settings.policies)
    load_vocabulary(settings.model)
    parts, registry = Parts(), new_registry()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with _pool(settings) as pool, _left_behind(settings) as left_behind:
            relay, assistants_relay = relay_of(settings), assistants_relay_of(settings)
            relays = [relay, assistants_relay]
            metrics = Metrics(registry, relays, pool, settings.session_metrics_seconds)
            parts.refresh_metrics = metrics.refresh
            store = EventStore(
                pool,
                settings.master_key,
                most_sessions_kept=settings.session_sessions_kept,
                # What opens a turn can wait in the outbox: its claim and first token go first.
                on_stored=lambda opened: relay.wake(settings.relay_opened_seconds if opened else 0),
                observe_append=metrics.observe_append,
            )
            catalogue = _catalogue(settings, parts, pool, assistants_relay)
            sweeper = _put_together(
                settings, parts, pool, store, catalogue, left_behind, policies, metrics
            )
            retention = _retention(settings, parts, pool, policies)
            runs = (relay.run(), assistants_relay.run(), sweeper.run(), retention.run())
            async with background_tasks(*runs):
                yield

    app = Starlette(
        routes=[
            *routes(partial(_guard, settings), parts),
            metrics_route(registry, lambda: parts.refresh_metrics()),
        ],
        lifespan=lifespan,
    )
    app.add_middleware(BodyLimitMiddleware, limit=settings.session_body_bytes)
    app.add_middleware(RequestIdMiddleware)
    install_error_handlers(app)
    install_refusals(app)
    return app


def _put_together(
    settings: SessionSettings,
    parts: Parts,
    pool: Pool,
    store: EventStore,
    assistants: Catalogue,
    left_behind: PartialReplyRecovery,
    policies: Policies,
    metrics: Metrics,
) -> LeaseSweeper:
    turns = TurnStore(pool)
    executor = CommandExecutor(store, attempts=settings.session_append_attempts)
    parts.store, parts.turns = store, turns
    parts.rows, parts.search_keys = SessionIndex(pool), SearchKeys(pool, settings.master_key)
    parts.sessions = SessionQueries(
        store, turns, executor, most_messages=settings.session_most_messages
    )
    parts.asking = TurnCommands(store, turns, executor, parts.sessions, assistants)
    parts.starting = SessionStarter(
        store,
        executor,
        parts.sessions,
        assistants,
        temporary_hours=settings.session_temporary_hours,
        clock=utc_now,
    )
    parts.changing = SessionUpdater(executor, parts.sessions)
    parts.forking = SessionForker(
        store,
        executor,
        parts.sessions,
        parts.starting,
        assistants,
        most_messages=settings.session_fork_messages,
        most_bytes=settings.session_fork_bytes,
    )
    parts.importing = MessageImporter(store, executor, parts.sessions, assistants, clock=utc_now)
    parts.erasing = SessionDeletion(
        executor,
        parts.rows,
        undelete_days=policies.undelete_days,
        clock=utc_now,
        on_erased=metrics.count_erased,
    )
    parts.running = TurnLifecycle(
        store,
        turns,
        parts.sessions,
        executor,
        assistants,
        left_behind,
        context_tokens=settings.session_context_tokens,
    )

    parts.completions = CompletionRecorder(store, parts.rows, clock=utc_now)

    async def missing() -> Sequence[str]:
        try:
            await pool.fetchval("SELECT 1")
        except STORE_TROUBLE:
            return ["event store"]
        return []

    parts.ready = missing
    return LeaseSweeper(
        turns,
        parts.running,
        every_seconds=settings.session_sweep_seconds,
        lease_seconds=settings.session_lease_seconds,
        most_turns=settings.session_sweep_turns,
        idempotency_hours=settings.session_idempotency_hours,
    )


def _retention(
    settings: SessionSettings,
    parts: Parts,
    pool: Pool,
    policies: Policies,
) -> Retention:
    limits = RetentionLimits(
        settings.session_retention_seconds,
        settings.session_retention_looked_at,
        settings.session_retention_erased,
    )
    return Retention(pool, parts.erasing, policies, limits)


def _catalogue(settings: SessionSettings, parts: Parts, pool: Pool, relay: Relay) -> Catalogue:
    catalogue = Catalogue(pool, settings.model, most_kept=settings.session_assistants_kept)

    def on_stored() -> None:
        catalogue.forget()
        relay.wake()

    parts.catalogue = catalogue
    parts.administering = AssistantAdministration(
        AssistantStore(pool, on_stored),
        attempts=settings.session_append_attempts,
        most=settings.session_assistants,
    )
    return catalogue


def relay_of(settings: RelaySettings) -> Relay:
    """Of what happened in sessions."""
    return Relay(
        settings.session_database,
        lambda: LogWriter(settings.brokers, settings.relay_topic),
        _relay_limits(settings),
        SESSIONS,
    )


def assistants_relay_of(settings: RelaySettings) -> Relay:
    """Of what was done with assistants."""
    return Relay(
        settings.session_database,
        lambda: LogWriter(settings.brokers, settings.relay_assistants_topic),
        _relay_limits(settings),
        ASSISTANTS,
    )


def _relay_limits(settings: RelaySettings) -> RelayLimits:
    return RelayLimits(
        records=settings.relay_records,
        bytes=settings.relay_bytes,
        publish_seconds=settings.relay_publish_seconds,
        poll_seconds=settings.relay_poll_seconds,
        linger_seconds=settings.relay_linger_seconds,
        pause_seconds=settings.relay_pause_seconds,
        store_seconds=settings.session_store_seconds,
    )


@asynccontextmanager
async def _left_behind(settings: SessionSettings) -> AsyncIterator[PartialReplyRecovery]:
    if settings.redis is None:
        log.info("PARLEY_REDIS is not set: of the reply of a lost process nothing is kept")
        yield PartialReplyRecovery(None)
        return
    redis = RedisWithCircuitBreaker(
        settings.redis,
        timeout_seconds=settings.session_buffer_seconds,
        open_seconds=settings.session_buffer_pause_seconds,
        max_connections=1,
    )
    try:
        yield PartialReplyRecovery(TurnBuffers(redis))
    finally:
        await redis.aclose()


def _pool(settings: SessionSettings) -> Pool:
    return open_pool(
        settings.session_database,
        max_connections=settings.session_connections,
        timeout_seconds=settings.session_store_seconds,
        application_name="parley-session",
    )


def _guard(settings: SessionSettings, *issuers: str) -> ServiceAuthenticator:
    return ServiceAuthenticator(
        settings.internal_secret, audience="session", issuers=frozenset(issuers)
    )
