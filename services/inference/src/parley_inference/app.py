"""The one place where inference is put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from starlette.applications import Starlette

from parley_core.body_limit import BodyLimitMiddleware
from parley_core.calls import ServiceClient, http_session
from parley_core.errors import RequestIdMiddleware, install_error_handlers
from parley_core.guard import Guard
from parley_inference.afterwards import Afterwards, AfterwardsLimits
from parley_inference.api import Parts, routes
from parley_inference.catalogue import Catalogue, default_catalogue, read_catalogue
from parley_inference.context import Windows
from parley_inference.drain import Drain
from parley_inference.lease import Lease
from parley_inference.live_turns import LiveTurns
from parley_inference.provider import OpenAIProvider, UpstreamLimits
from parley_inference.runner import Runner, RunnerLimits
from parley_inference.session_client import SessionClient
from parley_inference.settings import InferenceSettings, environment_variable


def create_app(settings: InferenceSettings) -> Starlette:
    """The application; `app.state.begin_drain()` is for SIGTERM. Raises SettingsWrong."""
    catalogue = _catalogue(settings)
    guard = Guard(settings.internal_secret, audience="inference", issuers=frozenset(("gateway",)))
    parts = Parts()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with http_session() as http:
            service = ServiceClient(
                http,
                settings.session_url,
                caller="inference",
                callee="session",
                secret=settings.internal_secret,
            )
            provider = OpenAIProvider(_upstream_limits(settings))
            session = SessionClient(
                service, uuid4(), settings.inference_session_seconds, catalogue.budgets
            )
            runner = _runner(settings, session, provider, catalogue)
            parts.session, parts.runner = session, runner
            drain = Drain(
                runner, settings.inference_drain_seconds, settings.inference_drain_commit_seconds
            )
            app.state.begin_drain = drain.begin
            lease = Lease(
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
        routes=routes(
            guard,
            catalogue,
            parts,
            most_streams=settings.inference_streams,
            heartbeat_seconds=settings.inference_stream_heartbeat_seconds,
        ),
        lifespan=lifespan,
    )
    app.state.begin_drain = lambda: None
    app.add_middleware(BodyLimitMiddleware, limit=settings.inference_body_bytes)
    app.add_middleware(RequestIdMiddleware)
    install_error_handlers(app)
    return app


def _catalogue(settings: InferenceSettings) -> Catalogue:
    if settings.models is not None:
        return read_catalogue(settings.models, environment_variable)
    key = settings.openai_api_key
    return default_catalogue(
        base_url=settings.openai_base_url,
        key=key.get_secret_value() if key else None,
        model=settings.model,
    )


def _runner(
    settings: InferenceSettings,
    session: SessionClient,
    provider: OpenAIProvider,
    catalogue: Catalogue,
) -> Runner:
    return Runner(
        session,
        provider,
        catalogue,
        Windows(settings.inference_context_bytes, settings.inference_context_seconds),
        LiveTurns(settings.inference_ended_turns, settings.inference_ended_seconds),
        Afterwards(
            session,
            provider,
            AfterwardsLimits(
                titles=settings.inference_titles,
                compaction=settings.inference_compaction,
                at_once=settings.inference_afterwards,
                title_seconds=settings.inference_title_seconds,
                compaction_seconds=settings.inference_compaction_seconds,
            ),
        ),
        RunnerLimits(
            turns=settings.inference_turns,
            reply_bytes=settings.inference_reply_bytes,
            total_seconds=settings.upstream_total_seconds,
            follow_seconds=settings.inference_follow_seconds,
            commit_pause_seconds=settings.inference_commit_pause_seconds,
        ),
    )


def _upstream_limits(settings: InferenceSettings) -> UpstreamLimits:
    return UpstreamLimits(
        connect=settings.upstream_connect_seconds,
        first_token=settings.upstream_first_token_seconds,
        between_tokens=settings.upstream_between_tokens_seconds,
        after_finish=settings.upstream_after_finish_seconds,
        attempts=settings.upstream_attempts,
        retry=settings.upstream_retry_seconds,
        retry_most=settings.upstream_retry_most_seconds,
        event_bytes=settings.upstream_event_bytes,
        connections=settings.inference_turns + settings.inference_afterwards,
    )
