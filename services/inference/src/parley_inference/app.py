"""The one place where inference is put together."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

from starlette.applications import Starlette

from parley_core.http.error_handlers import RequestIdMiddleware, install_error_handlers
from parley_core.http.service_auth import ServiceAuthenticator
from parley_core.http.service_client import ServiceClient, http_session
from parley_core.runtime.metrics import metrics_route, new_registry
from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker
from parley_core.streaming.turn_buffer_redis import TurnBuffers
from parley_inference.api.body_limits import BodyLimits
from parley_inference.api.completions_api import completions_route
from parley_inference.api.routes import Parts, routes
from parley_inference.background.post_reply_tasks import PostReplyTasks
from parley_inference.completions.service import CompletionService
from parley_inference.completions.usage_reporter import UsageReporter
from parley_inference.limits import (
    afterwards_limits,
    completions_limits,
    record_limits,
    runner_limits,
    server_limits,
    upstream_limits,
)
from parley_inference.metrics import watch_turns
from parley_inference.models.catalogue_file import default_catalogue, read_catalogue
from parley_inference.models.model_catalogue import ModelCatalogue
from parley_inference.models.openai_provider import OpenAIProvider
from parley_inference.session.client import SessionClient
from parley_inference.session.context_window_cache import ContextWindowCache
from parley_inference.settings import InferenceSettings, environment_variable
from parley_inference.streaming.buffer_poller import TurnBufferPoller
from parley_inference.streaming.buffer_writer import TurnBufferWriter
from parley_inference.streaming.live_turn_registry import LiveTurnRegistry
from parley_inference.streaming.turn_buffering import TurnBuffering
from parley_inference.turns.heartbeat import HeartbeatLoop
from parley_inference.turns.runner import Runner
from parley_inference.turns.shutdown import Shutdown
from parley_inference.upstream_metrics import watch_model_servers

log = logging.getLogger(__name__)

# One to write with, and one to read with.
_BUFFER_CONNECTIONS = 2


def create_app(settings: InferenceSettings) -> Starlette:
    """The application; `app.state.begin_drain()` is for SIGTERM. Raises InvalidSettings."""
    catalogue = _catalogue(settings)
    guard = ServiceAuthenticator(
        settings.internal_secret, audience="inference", issuers=frozenset(("gateway",))
    )
    parts, registry = Parts(), new_registry()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with http_session() as http, AsyncExitStack() as stack:
            service = ServiceClient(
                http,
                settings.session_url,
                caller="inference",
                callee="session",
                secret=settings.internal_secret,
            )
            provider = OpenAIProvider(catalogue, upstream_limits(settings))
            session = SessionClient(
                service,
                uuid4(),
                catalogue.budgets,
                seconds=settings.inference_session_seconds,
                heartbeat_seconds=settings.inference_heartbeat_answer_seconds,
            )
            buffering = _buffering(settings)
            if buffering is not None:
                await stack.enter_async_context(buffering.run())
            runner = _runner(settings, session, provider, catalogue, buffering)
            parts.session, parts.runner = session, runner
            records = UsageReporter(session, record_limits(settings))
            await stack.enter_async_context(records.run(settings.inference_drain_commit_seconds))
            completions = parts.completions = CompletionService(
                provider, catalogue, completions_limits(settings), records.add
            )
            watch_turns(
                registry,
                running=lambda: len(runner.running),
                followed=lambda: runner.followed,
                streams=lambda: len(parts.open_streams),
                buffer_failures=lambda: buffering.failed if buffering else 0,
            )
            watch_model_servers(
                registry,
                list(provider.servers.values()),
                completions=lambda: completions.running,
                lost_records=lambda: records.lost,
            )
            drain = Shutdown(
                runner, settings.inference_drain_seconds, settings.inference_drain_commit_seconds
            )

            def begin_drain() -> None:
                drain.begin()
                completions.drain(settings.inference_drain_seconds)

            app.state.begin_drain = begin_drain
            lease = HeartbeatLoop(
                session,
                runner,
                settings.inference_heartbeat_seconds,
                settings.inference_unheard_seconds,
            )
            keeping = asyncio.create_task(lease.keep())
            try:
                yield
            finally:
                await drain.finish()
                keeping.cancel()
                await provider.close()

    app = Starlette(
        routes=[
            *routes(
                guard,
                catalogue,
                parts,
                most_streams=settings.inference_streams,
                heartbeat_seconds=settings.inference_stream_heartbeat_seconds,
            ),
            completions_route(guard, lambda: parts.completions),
            metrics_route(registry),
        ],
        lifespan=lifespan,
    )
    app.state.begin_drain = lambda: None
    app.add_middleware(
        BodyLimits,
        limit=settings.inference_body_bytes,
        completions=settings.inference_completion_body_bytes,
    )
    app.add_middleware(RequestIdMiddleware)
    install_error_handlers(app)
    return app


def _catalogue(settings: InferenceSettings) -> ModelCatalogue:
    limits = server_limits(settings)
    if settings.models is not None:
        return read_catalogue(settings.models, environment_variable, limits)
    key = settings.openai_api_key
    return default_catalogue(
        limits,
        base_url=settings.openai_base_url,
        key=key.get_secret_value() if key else None,
        model=settings.model,
    )


def _runner(
    settings: InferenceSettings,
    session: SessionClient,
    provider: OpenAIProvider,
    catalogue: ModelCatalogue,
    buffering: TurnBuffering | None,
) -> Runner:
    return Runner(
        session,
        provider,
        catalogue,
        ContextWindowCache(settings.inference_context_bytes, settings.inference_context_seconds),
        LiveTurnRegistry(settings.inference_ended_turns, settings.inference_ended_seconds),
        PostReplyTasks(session, provider, afterwards_limits(settings)),
        runner_limits(settings),
        buffering,
    )


def _buffering(settings: InferenceSettings) -> TurnBuffering | None:
    if settings.redis is None:
        log.info("PARLEY_REDIS is not set: a reply is streamed only by the process that makes it")
        return None
    redis = RedisWithCircuitBreaker(
        settings.redis,
        timeout_seconds=settings.inference_buffer_seconds,
        open_seconds=settings.inference_buffer_pause_seconds,
        max_connections=_BUFFER_CONNECTIONS,
    )
    buffers = TurnBuffers(redis)
    flusher = TurnBufferWriter(
        buffers,
        every_seconds=settings.inference_buffer_flush_seconds,
        most_turns=settings.inference_buffer_turns,
        most_bytes=settings.inference_buffer_bytes,
        grace_seconds=settings.inference_buffer_grace_seconds,
        keep_ended_seconds=settings.inference_buffer_ended_seconds,
    )
    poller = TurnBufferPoller(
        buffers,
        every_seconds=settings.inference_buffer_poll_seconds,
        most_turns=settings.inference_buffer_turns,
        most_entries=settings.inference_buffer_entries,
    )
    return TurnBuffering(buffers, flusher, poller)
