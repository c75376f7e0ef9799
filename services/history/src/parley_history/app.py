"""Composition of `serve`: builds every component once and wires the routes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from prometheus_client import CollectorRegistry, Gauge
from starlette.applications import Starlette
from starlette.routing import Route

from parley_contracts.internal_calls import HISTORY_CALLS
from parley_core.http.body_limit import MAX_TOTAL_BYTES, BodyBudget, BodyLimitMiddleware
from parley_core.http.error_handlers import install_error_handlers
from parley_core.http.request_observer import RequestObserver
from parley_core.http.service_auth import ServiceAuthenticator
from parley_core.http.service_client import ServiceClient, http_session
from parley_core.process.operational_routes import operational_routes
from parley_core.process.process_monitor import ProcessMonitor
from parley_core.process.settings_reloader import SettingsReloader
from parley_core.runtime.background_tasks import background_loops
from parley_core.storage.postgres_pool import Pool, open_pool
from parley_history.change_feed.listener import ChangeFeed
from parley_history.change_feed.projection_wait import ProjectionWaiter
from parley_history.queries.export.export_sessions import SessionExporter
from parley_history.queries.export.repository import ExportRepository
from parley_history.queries.messages.page_repository import PageRepository
from parley_history.queries.messages.read_page import PageReader
from parley_history.queries.search.dirty_sessions import DirtySessions
from parley_history.queries.search.indexer import Indexer
from parley_history.queries.search.match_repository import MatchRepository
from parley_history.queries.search.search_messages import MessageSearch
from parley_history.queries.sessions.committed_versions import CommittedVersions
from parley_history.queries.sessions.list_sessions import SessionLister
from parley_history.queries.sessions.repository import SessionRepository
from parley_history.queries.usage.repository import UsageRepository
from parley_history.routes import history_routes
from parley_history.session_service.client import SessionClient
from parley_history.session_service.key_cache import DataKeyCache, KeyCache
from parley_history.session_service.key_eviction import KeyEviction
from parley_history.settings import ServeSettings
from parley_history.storage.database_errors import install_database_error_handlers
from parley_history.storage.session_versions import SessionVersions

# The longest body is a search request: a query of 500 characters and a few ids.
MAX_BODY_BYTES = 16 * 1024


def create_app(settings: ServeSettings) -> Starlette:
    """Create the application; in `app.state` are its `change_feed` and ProcessMonitor `monitor`."""
    monitor = ProcessMonitor("history-serve")
    change_feed = ChangeFeed(settings.database)

    def apply(fresh: ServeSettings) -> None:
        settings.signing_key.replace(fresh.signing_key)
        settings.service_keys.replace(fresh.service_keys)
        settings.tls.replace(fresh.tls)
        settings.database.replace(fresh.database)

    # Now: the start may wait for a migration, and files may change meanwhile.
    reloader = SettingsReloader(settings, apply, monitor.registry)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with _compose(settings, change_feed, monitor) as routes:
            app.router.routes.extend(routes)
            if settings.management_port is None:
                app.router.routes.extend(operational_routes(monitor))
            async with background_loops(reloader.run):
                monitor.state.mark_started()
                yield

    app = Starlette(lifespan=lifespan)
    app.state.change_feed, app.state.monitor = change_feed, monitor
    app.add_middleware(
        BodyLimitMiddleware,
        limit=MAX_BODY_BYTES,
        budget=BodyBudget(MAX_TOTAL_BYTES, "history_busy"),
    )
    app.add_middleware(
        RequestObserver,
        metrics=monitor.requests,
    )
    install_error_handlers(app)
    install_database_error_handlers(app)
    return app


@asynccontextmanager
async def _compose(
    settings: ServeSettings, change_feed: ChangeFeed, monitor: ProcessMonitor
) -> AsyncIterator[Sequence[Route]]:
    """Build and run all components; yield the routes that use them."""
    registry = monitor.registry
    _register_metrics(registry, change_feed)
    authenticator = ServiceAuthenticator(settings.service_keys, HISTORY_CALLS, service="history")
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(_pool(settings, monitor))
        session_client = await stack.enter_async_context(_session_client(settings, monitor))
        keys = DataKeyCache(session_client.keys)
        search_keys = KeyCache(session_client.search_keys)
        key_eviction = KeyEviction(pool, keys)
        projection = ProjectionWaiter(SessionVersions(pool), change_feed, settings.projection_wait)
        page_repository = PageRepository(pool)
        committed = CommittedVersions(session_client, projection)
        stack.enter_context(change_feed.subscribed(key_eviction))
        await stack.enter_async_context(_indexer(settings, change_feed, session_client, registry))
        await stack.enter_async_context(background_loops(change_feed.listen, key_eviction.run))
        routes = history_routes(
            pages=PageReader(page_repository, projection, session_client, keys),
            sessions=SessionLister(SessionRepository(pool), committed, keys),
            search=MessageSearch(MatchRepository(pool), keys, search_keys, settings.search_limit),
            exporter=SessionExporter(
                ExportRepository(pool),
                page_repository,
                projection,
                committed,
                session_client,
                keys,
                settings.export,
            ),
            usage=UsageRepository(pool),
        )
        yield authenticator.authenticated(routes)


def _register_metrics(registry: CollectorRegistry, change_feed: ChangeFeed) -> None:
    waiters = Gauge(
        "parley_history_projection_waiters",
        "Requests that wait for the projection.",
        registry=registry,
    )
    waiters.set_function(lambda: change_feed.waiters)


def _pool(settings: ServeSettings, monitor: ProcessMonitor) -> Pool:
    return open_pool(
        lambda: settings.database.current_pool_url,
        is_pooled=settings.database.pooler_url is not None,
        max_connections=settings.database.max_connections,
        timeout_seconds=settings.database.timeout_seconds,
        application_name="parley-history",
        monitor=monitor,
    )


@asynccontextmanager
async def _session_client(
    settings: ServeSettings, monitor: ProcessMonitor
) -> AsyncIterator[SessionClient]:
    async with http_session() as http:
        service = ServiceClient(
            http,
            settings.session_url,
            callee="session",
            key=settings.signing_key,
            monitor=monitor,
            tls=settings.tls,
        )
        yield SessionClient(service)


@asynccontextmanager
async def _indexer(
    settings: ServeSettings,
    change_feed: ChangeFeed,
    session_client: SessionClient,
    registry: CollectorRegistry,
) -> AsyncIterator[None]:
    """Run the search indexer in the background where this process may index."""
    if not settings.search.indexer_enabled:
        yield
        return
    dirty_sessions = DirtySessions()
    # Separate key caches, so that indexing does not evict the keys that readers use.
    indexer = Indexer(
        settings.database,
        dirty_sessions,
        DataKeyCache(session_client.keys),
        KeyCache(session_client.search_keys),
        registry,
    )
    with change_feed.subscribed(dirty_sessions):
        async with background_loops(indexer.run):
            yield
