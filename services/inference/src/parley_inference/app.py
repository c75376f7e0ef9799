"""Composition root of the inference service."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

from starlette.applications import Starlette
from starlette.routing import Route

from parley_contracts.internal_calls import INFERENCE_CALLS
from parley_core.http.error_handlers import install_error_handlers
from parley_core.http.person_limit import PersonLimit
from parley_core.http.request_observer import RequestObserver
from parley_core.http.service_auth import ServiceAuthenticator
from parley_core.http.service_client import ServiceClient, http_session
from parley_core.process.operational_routes import operational_routes
from parley_core.process.process_monitor import ProcessMonitor
from parley_core.process.settings_reloader import SettingsReloader
from parley_core.runtime.background_tasks import background_loops
from parley_core.storage.redis_settings import RedisSettings
from parley_inference.api.body_limits import BodyLimits
from parley_inference.api.routes import TurnStreams, routes
from parley_inference.background.post_reply_tasks import PostReplyTasks
from parley_inference.completions.service import CompletionService
from parley_inference.completions.usage_reporter import UsageReporter
from parley_inference.metrics import InferenceCollector, TurnMetrics
from parley_inference.models.catalogue_file import read_catalogue, single_model_catalogue
from parley_inference.models.model_catalogue import ModelCatalogue
from parley_inference.models.openai_provider import OpenAIProvider
from parley_inference.session.client import SessionClient
from parley_inference.session.context_window_cache import ContextWindowCache
from parley_inference.session.usage_record import CompletionReport, UsageRecord
from parley_inference.settings import InferenceSettings, environment_variable
from parley_inference.streaming.live_turn_registry import LiveTurnRegistry
from parley_inference.streaming.turn_buffering import TurnBuffering, create_turn_buffering
from parley_inference.turns.cancel_loop import stop_cancelled_turns
from parley_inference.turns.conversation_caches import ConversationCaches
from parley_inference.turns.heartbeat import HeartbeatLoop
from parley_inference.turns.running_turns import RunningTurns
from parley_inference.turns.shutdown import Shutdown
from parley_inference.turns.turn_opener import TurnOpener

log = logging.getLogger(__name__)


def create_app(settings: InferenceSettings) -> Starlette:
    """Return the application; call `app.state.begin_drain()` at SIGTERM. Raises InvalidSettings.

    `app.state.monitor` is the ProcessMonitor.
    """
    catalogue = _load_catalogue(settings)
    monitor = ProcessMonitor("inference")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with _run_service(settings, catalogue, monitor) as service:
            app.router.routes.extend(service.routes)
            if settings.management_port is None:
                app.router.routes.extend(operational_routes(monitor))
            app.state.begin_drain, app.state.hurry = service.begin_shutdown, service.hurry
            yield

    app = Starlette(lifespan=lifespan)
    app.state.monitor = monitor
    app.state.begin_drain = app.state.hurry = lambda: None
    app.add_middleware(BodyLimits, max_total_bytes=settings.body_max_total_bytes)
    app.add_middleware(
        RequestObserver,
        metrics=monitor.requests,
    )
    install_error_handlers(app)
    return app


@dataclass(frozen=True, slots=True)
class _Service:
    routes: Sequence[Route]
    begin_shutdown: Callable[[], None]
    hurry: Callable[[], None]


@asynccontextmanager
async def _run_service(
    settings: InferenceSettings, catalogue: ModelCatalogue, monitor: ProcessMonitor
) -> AsyncIterator[_Service]:
    """Build all components of the process, run them during the block, and shut them down."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(http_session())
        session = SessionClient(
            ServiceClient(
                http,
                settings.session_url,
                callee="session",
                key=settings.signing_key,
                monitor=monitor,
                tls=settings.tls,
            ),
            uuid4(),
            lambda: catalogue.prompt_budgets,
        )
        provider = OpenAIProvider(catalogue, settings.upstream)
        stack.push_async_callback(provider.close)

        buffering = _create_buffering(settings.redis, monitor)
        if buffering is not None:
            await stack.enter_async_context(buffering.run())
        windows = ContextWindowCache(settings.context_cache_max_bytes)
        live_turns = LiveTurnRegistry()
        post_reply_tasks = PostReplyTasks(session, provider, settings.post_reply_tasks)
        turn_metrics = TurnMetrics(monitor.registry)
        running = RunningTurns(
            session,
            provider,
            live_turns,
            buffering,
            max_turns=settings.max_turns,
            observe_ended=turn_metrics.observe_turn,
        )
        opener = TurnOpener(
            session,
            catalogue,
            windows,
            live_turns,
            running,
            post_reply_tasks,
            max_turns=settings.max_turns,
            buffering=buffering,
        )
        caches = ConversationCaches(windows, live_turns, post_reply_tasks, buffering)

        usage_reporter = UsageReporter(session)
        await stack.enter_async_context(usage_reporter.run(settings.drain.commit_seconds))
        completion_limit = PersonLimit(
            settings.max_completions,
            settings.max_completions_person_share,
            things="completions",
            person_code="too_many_completions",
            busy_code="inference_busy",
        )

        def report_usage(report: CompletionReport) -> None:
            if isinstance(report, UsageRecord):
                turn_metrics.observe_completion(report)
            usage_reporter.report(report)

        completions = CompletionService(provider, catalogue, report_usage, limit=completion_limit)

        authenticator = ServiceAuthenticator(
            settings.service_keys, INFERENCE_CALLS, service="inference"
        )
        streams = TurnStreams(opener, max_streams=settings.max_streams)
        shutdown = Shutdown(opener, running, post_reply_tasks, completions, settings.drain)
        # Session admits no turn to a process from which it has had no heartbeat.
        monitor.state.wait_for("session")
        heartbeats = HeartbeatLoop(
            session, opener, running, caches, on_answer=monitor.state.mark_started
        )
        InferenceCollector(
            monitor.registry,
            turns=running,
            streams=streams,
            buffering=buffering,
            provider=provider,
            catalogue=catalogue,
            heartbeats=heartbeats,
            completions=completions,
            usage_reporter=usage_reporter,
        )

        def apply(fresh: InferenceSettings) -> None:
            fresh_catalogue = _load_catalogue(fresh)
            provider.use(fresh_catalogue)
            catalogue.replace(fresh_catalogue)
            settings.signing_key.replace(fresh.signing_key)
            settings.service_keys.replace(fresh.service_keys)
            settings.tls.replace(fresh.tls)
            settings.redis.replace(fresh.redis)

        reloader = SettingsReloader(
            settings, apply, monitor.registry, more_files=lambda: catalogue.key_files
        )
        stack.push_async_callback(heartbeats.finish)
        await stack.enter_async_context(
            background_loops(
                heartbeats.run, partial(stop_cancelled_turns, session, running), reloader.run
            )
        )
        stack.push_async_callback(shutdown.finish)

        def begin_shutdown() -> None:
            monitor.state.draining = True
            shutdown.begin()

        yield _Service(
            authenticator.authenticated(routes(catalogue, streams, completions)),
            begin_shutdown,
            shutdown.hurry,
        )


def _load_catalogue(settings: InferenceSettings) -> ModelCatalogue:
    if settings.models_path is not None:
        return read_catalogue(settings.models_path, environment_variable, settings.upstream)
    key = settings.openai_api_key
    return single_model_catalogue(
        settings.upstream,
        base_url=settings.openai_base_url,
        key=key.get_secret_value() if key else None,
        model=settings.model,
    )


def _create_buffering(redis: RedisSettings, monitor: ProcessMonitor) -> TurnBuffering | None:
    if redis.url is None:
        log.info("PARLEY_REDIS_URL is not set: other processes show a reply only when it has ended")
        return None
    return create_turn_buffering(redis, monitor.dependencies["redis"].report)
