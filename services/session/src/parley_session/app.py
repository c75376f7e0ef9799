"""The one place where session is put together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette

from parley_core.body_limit import BodyLimitMiddleware
from parley_core.errors import RequestIdMiddleware, install_error_handlers
from parley_core.guard import Guard
from parley_core.log import LogWriter
from parley_core.metrics import metrics_route, new_registry
from parley_core.pool import Pool, open_pool
from parley_session.api import Parts, routes
from parley_session.assistants import Assistants, read_assistants
from parley_session.event_store import EventStore
from parley_session.executing import Executor
from parley_session.metrics import Metrics
from parley_session.refusing import STORE_TROUBLE, install_refusals
from parley_session.relay import Relay, RelayLimits
from parley_session.running import Running
from parley_session.sessions import Sessions
from parley_session.settings import RelaySettings, SessionSettings
from parley_session.sweeper import Sweeper
from parley_session.turn_store import TurnStore


def create_app(settings: SessionSettings) -> Starlette:
    """The application, with its relay and its sweeper. Raises SettingsWrong."""
    assistants = read_assistants(settings.assistants, settings.model)
    parts, registry = Parts(), new_registry()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with _pool(settings) as pool:
            relay = relay_of(settings)
            metrics = Metrics(registry, relay, pool, settings.session_metrics_seconds)
            parts.refresh_metrics = metrics.refresh
            store = EventStore(
                pool,
                settings.master_key,
                most_sessions_kept=settings.session_sessions_kept,
                on_stored=relay.wake,
                observe_append=metrics.observe_append,
            )
            sweeper = _put_together(settings, parts, pool, store, assistants)
            tasks = [asyncio.create_task(relay.run()), asyncio.create_task(sweeper.run())]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    app = Starlette(
        routes=[
            *routes(partial(_guard, settings), assistants, parts),
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
    assistants: Assistants,
) -> Sweeper:
    turns = TurnStore(pool)
    executor = Executor(store, attempts=settings.session_append_attempts)
    parts.store, parts.turns = store, turns
    parts.sessions = Sessions(
        store, turns, executor, assistants, most_messages=settings.session_most_messages
    )
    parts.running = Running(
        store,
        turns,
        parts.sessions,
        executor,
        assistants,
        context_tokens=settings.session_context_tokens,
    )

    async def missing() -> Sequence[str]:
        try:
            await pool.fetchval("SELECT 1")
        except STORE_TROUBLE:
            return ["event store"]
        return []

    parts.ready = missing
    return Sweeper(
        turns,
        parts.running,
        every_seconds=settings.session_sweep_seconds,
        lease_seconds=settings.session_lease_seconds,
        most_turns=settings.session_sweep_turns,
        idempotency_hours=settings.session_idempotency_hours,
    )


def relay_of(settings: RelaySettings) -> Relay:
    return Relay(
        settings.session_database,
        lambda: LogWriter(settings.brokers, settings.relay_topic),
        RelayLimits(
            records=settings.relay_records,
            bytes=settings.relay_bytes,
            publish_seconds=settings.relay_publish_seconds,
            poll_seconds=settings.relay_poll_seconds,
            linger_seconds=settings.relay_linger_seconds,
            pause_seconds=settings.relay_pause_seconds,
            store_seconds=settings.session_store_seconds,
        ),
    )


def _pool(settings: SessionSettings) -> Pool:
    return open_pool(
        settings.session_database,
        connections=settings.session_connections,
        seconds=settings.session_store_seconds,
        name="parley-session",
    )


def _guard(settings: SessionSettings, *issuers: str) -> Guard:
    return Guard(settings.internal_secret, audience="session", issuers=frozenset(issuers))
