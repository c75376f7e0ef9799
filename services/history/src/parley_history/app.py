"""The one place where `serve` is put together."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import cast

import asyncpg
from prometheus_client import CollectorRegistry, Gauge
from starlette.applications import Starlette

from parley_core.http.body_limit import BodyLimitMiddleware
from parley_core.http.error_handlers import RequestIdMiddleware, install_error_handlers
from parley_core.http.service_auth import ServiceAuthenticator
from parley_core.http.service_client import ServiceClient, http_session
from parley_core.runtime.background_tasks import background_tasks
from parley_core.runtime.metrics import metrics_route, new_registry
from parley_core.storage.migrations import MigrationError, load_migrations, require_migrated
from parley_core.storage.postgres_pool import Pool, open_pool
from parley_history.change_feed.listener import ChangeFeed
from parley_history.change_feed.ndjson_stream import ChangeFeedStreams
from parley_history.change_feed.projection_wait import ProjectionWaiter
from parley_history.queries.export.export_sessions import SessionExporter
from parley_history.queries.export.repository import ExportedSessions
from parley_history.queries.messages.cached_read_page import CachedPageReader
from parley_history.queries.messages.page_metrics import watch_pages
from parley_history.queries.messages.page_repository import PageRepository
from parley_history.queries.messages.read_page import PageReader
from parley_history.queries.messages.redis_page_cache import RedisPageCache
from parley_history.queries.search.dirty_sessions import DirtySessions
from parley_history.queries.search.indexer import Indexer
from parley_history.queries.search.match_repository import MatchRepository
from parley_history.queries.search.metrics import watch_indexer
from parley_history.queries.search.search_messages import MessageSearch
from parley_history.queries.sessions.list_sessions import SessionLister
from parley_history.queries.sessions.repository import SessionPages
from parley_history.queries.usage.repository import UsageSums
from parley_history.routes import Missing, Parts, routes
from parley_history.session_service.client import Person, SessionClient
from parley_history.session_service.key_cache import DataKeyCache, KeyCache
from parley_history.session_service.key_eviction import KeyEviction
from parley_history.settings import HistorySettings
from parley_history.storage.database_errors import DATABASE_TROUBLE, install_database_trouble
from parley_history.storage.migrations import MIGRATIONS


def create_app(settings: HistorySettings) -> Starlette:
    """The application; `app.state.movements` knows how many requests wait."""
    guard = ServiceAuthenticator(
        settings.internal_secret, audience="history", issuers=frozenset(("gateway",))
    )
    parts, movements = Parts(), _movements(settings)
    parts.movements = _movement_streams(settings, movements)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with _pool(settings) as pool, http_session() as http, AsyncExitStack() as stack:
            service = ServiceClient(
                http,
                settings.session_url,
                caller="history",
                callee="session",
                secret=settings.internal_secret,
            )
            session = SessionClient(service, settings.history_session_seconds)
            keys, waiting = _keys(settings, session), _waiting(settings, pool, movements)
            reading = PageReader(PageRepository(pool), waiting, session, keys)
            parts.reading = await stack.enter_async_context(
                _cached(settings, reading, pool, keys, registry)
            )
            parts.listing = SessionLister(SessionPages(pool), waiting, keys)
            parts.exporting = SessionExporter(
                ExportedSessions(pool),
                PageRepository(pool),
                waiting,
                session,
                keys,
                most=settings.history_exports,
            )
            parts.searching = MessageSearch(
                MatchRepository(pool), keys, _search_keys(settings, session)
            )
            parts.usage = UsageSums(pool)
            parts.missing = _missing(pool)
            forgetting = KeyEviction(
                pool, keys, pause_seconds=settings.history_listen_pause_seconds
            )
            stack.enter_context(movements.followed_by(forgetting))
            await stack.enter_async_context(_indexing(settings, movements, session, registry))
            await stack.enter_async_context(background_tasks(movements.listen(), forgetting.run()))
            yield

    registry = _registry(movements)
    app = Starlette(routes=[*routes(guard, parts), metrics_route(registry)], lifespan=lifespan)
    app.state.movements, app.state.movement_streams = movements, parts.movements
    app.add_middleware(BodyLimitMiddleware, limit=settings.history_body_bytes)
    app.add_middleware(RequestIdMiddleware)
    install_error_handlers(app)
    install_database_trouble(app)
    return app


def _registry(movements: ChangeFeed) -> CollectorRegistry:
    registry = new_registry()
    waiting = Gauge(
        "parley_history_waiting", "Requests that wait for the projection.", registry=registry
    )
    waiting.set_function(lambda: movements.waiting)
    return registry


def _pool(settings: HistorySettings) -> Pool:
    return open_pool(
        settings.history_database,
        max_connections=settings.history_connections,
        timeout_seconds=settings.history_database_seconds,
        application_name="parley-history",
    )


def _movements(settings: HistorySettings) -> ChangeFeed:
    return ChangeFeed(
        settings.history_database,
        seconds=settings.history_database_seconds,
        poll_seconds=settings.history_poll_seconds,
        pause_seconds=settings.history_listen_pause_seconds,
        look_seconds=settings.history_listen_look_seconds,
    )


def _movement_streams(settings: HistorySettings, movements: ChangeFeed) -> ChangeFeedStreams:
    return ChangeFeedStreams(
        movements,
        most=settings.history_followers,
        most_unread=settings.history_follower_unread,
        alive_seconds=settings.history_follower_alive_seconds,
    )


def _keys(settings: HistorySettings, session: SessionClient) -> DataKeyCache:
    return DataKeyCache(
        session.keys, most=settings.history_keys, seconds=settings.history_key_seconds
    )


def _search_keys(settings: HistorySettings, session: SessionClient) -> KeyCache[Person]:
    return KeyCache(
        session.search_keys, most=settings.history_keys, seconds=settings.history_key_seconds
    )


@asynccontextmanager
async def _cached(
    settings: HistorySettings,
    reading: PageReader,
    pool: Pool,
    keys: DataKeyCache,
    registry: CollectorRegistry,
) -> AsyncIterator[PageReader | CachedPageReader]:
    """Reading with the pages that are in Redis, where there is one."""
    if settings.redis is None:
        yield reading
        return
    pages = RedisPageCache(
        settings.redis,
        seconds=settings.history_redis_seconds,
        pause_seconds=settings.history_redis_pause_seconds,
        keep_seconds=settings.history_redis_keep_seconds,
        most_bytes=settings.history_redis_page_bytes,
        connections=settings.history_redis_connections,
    )
    watch_pages(registry, pages)
    most_putting = settings.history_redis_connections
    async with (
        aclosing(pages),
        aclosing(CachedPageReader(reading, pool, keys, pages, most_putting=most_putting)) as cached,
    ):
        yield cached


@asynccontextmanager
async def _indexing(
    settings: HistorySettings,
    movements: ChangeFeed,
    session: SessionClient,
    registry: CollectorRegistry,
) -> AsyncIterator[None]:
    """Words are indexed meanwhile, where this process may."""
    if not settings.history_search_indexes:
        yield
        return
    moved = DirtySessions(settings.history_search_moved)
    indexer = Indexer(
        settings.history_database,
        moved,
        # Its own: what is indexed once must not take the room of keys that are read with.
        _keys(settings, session),
        _search_keys(settings, session),
        seconds=settings.history_search_seconds,
        pause_seconds=settings.history_search_pause_seconds,
        walk_seconds=settings.history_search_walk_seconds,
        sessions=settings.history_search_sessions,
    )
    watch_indexer(registry, indexer)
    with movements.followed_by(moved):
        async with background_tasks(indexer.run()):
            yield


def _waiting(settings: HistorySettings, pool: Pool, movements: ChangeFeed) -> ProjectionWaiter:
    return ProjectionWaiter(
        PageRepository(pool),
        movements,
        seconds=settings.history_wait_seconds,
        most=settings.history_waiting,
    )


def _missing(pool: Pool) -> Missing:
    async def missing() -> Sequence[str]:
        try:
            async with pool.acquire() as connection:
                await require_migrated(
                    cast("asyncpg.Connection[asyncpg.Record]", connection),
                    load_migrations(MIGRATIONS),
                )
        except DATABASE_TROUBLE:
            return ["read model"]
        except MigrationError:
            return ["migrations of the read model"]
        return []

    return missing
