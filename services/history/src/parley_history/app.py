"""The one place where `serve` is put together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import asyncpg
from prometheus_client import CollectorRegistry, Gauge
from starlette.applications import Starlette

from parley_core.body_limit import BodyLimitMiddleware
from parley_core.calls import ServiceClient, http_session
from parley_core.errors import RequestIdMiddleware, install_error_handlers
from parley_core.guard import Guard
from parley_core.metrics import metrics_route, new_registry
from parley_core.migrations import MigrationRefused, migrations_in, require_migrated
from parley_core.pool import Pool, open_pool
from parley_history.api import Missing, Parts, routes
from parley_history.content_keys import ContentKeys
from parley_history.database_trouble import DATABASE_TROUBLE, install_database_trouble
from parley_history.migrations import MIGRATIONS
from parley_history.movements import Movements
from parley_history.pages import Pages
from parley_history.reading import Reading
from parley_history.session_client import SessionClient
from parley_history.settings import HistorySettings


def create_app(settings: HistorySettings) -> Starlette:
    """The application; `app.state.movements` knows how many requests wait."""
    guard = Guard(settings.internal_secret, audience="history", issuers=frozenset(("gateway",)))
    parts, movements = Parts(), _movements(settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with _pool(settings) as pool, http_session() as http:
            service = ServiceClient(
                http,
                settings.session_url,
                caller="history",
                callee="session",
                secret=settings.internal_secret,
            )
            session = SessionClient(service, settings.history_session_seconds)
            parts.reading = _reading(settings, pool, movements, session)
            parts.missing = _missing(pool)
            listening = asyncio.create_task(movements.listen())
            try:
                yield
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    app = Starlette(
        routes=[*routes(guard, parts), metrics_route(_registry(movements))], lifespan=lifespan
    )
    app.state.movements = movements
    app.add_middleware(BodyLimitMiddleware, limit=settings.history_body_bytes)
    app.add_middleware(RequestIdMiddleware)
    install_error_handlers(app)
    install_database_trouble(app)
    return app


def _registry(movements: Movements) -> CollectorRegistry:
    registry = new_registry()
    waiting = Gauge(
        "parley_history_waiting", "Requests that wait for the projection.", registry=registry
    )
    waiting.set_function(lambda: movements.waiting)
    return registry


def _pool(settings: HistorySettings) -> Pool:
    return open_pool(
        settings.history_database,
        connections=settings.history_connections,
        seconds=settings.history_database_seconds,
        name="parley-history",
    )


def _movements(settings: HistorySettings) -> Movements:
    return Movements(
        settings.history_database,
        seconds=settings.history_database_seconds,
        poll_seconds=settings.history_poll_seconds,
        pause_seconds=settings.history_listen_pause_seconds,
    )


def _reading(
    settings: HistorySettings, pool: Pool, movements: Movements, session: SessionClient
) -> Reading:
    keys = ContentKeys(session, most=settings.history_keys, seconds=settings.history_key_seconds)
    return Reading(
        Pages(pool),
        movements,
        session,
        keys,
        wait_seconds=settings.history_wait_seconds,
        most_waiting=settings.history_waiting,
    )


def _missing(pool: Pool) -> Missing:
    async def missing() -> Sequence[str]:
        try:
            async with pool.acquire() as connection:
                await require_migrated(
                    cast("asyncpg.Connection[asyncpg.Record]", connection),
                    migrations_in(MIGRATIONS),
                )
        except DATABASE_TROUBLE:
            return ["read model"]
        except MigrationRefused:
            return ["migrations of the read model"]
        return []

    return missing
