"""Composes the gateway: its services, routes and middleware."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from parley_core.http.error_handlers import install_error_handlers
from parley_core.http.request_observer import RequestObserver
from parley_core.http.service_client import http_session
from parley_core.process.process_monitor import ProcessMonitor
from parley_core.process.process_state import ProcessState
from parley_core.process.settings_reloader import SettingsReloader
from parley_core.runtime.background_tasks import background_tasks
from parley_core.tracing.request_spans import EntrySpans
from parley_gateway.api.api_key_routes import api_key_routes
from parley_gateway.api.assistant_routes import assistant_routes
from parley_gateway.api.chat_completion_routes import chat_completion_routes
from parley_gateway.api.health_routes import health_routes
from parley_gateway.api.history_routes import history_routes, read_history_route
from parley_gateway.api.limit_routes import limit_routes
from parley_gateway.api.openapi import install_openapi
from parley_gateway.api.page_routes import client_config_routes, page_routes
from parley_gateway.api.reference_routes import reference_routes
from parley_gateway.api.revocation_routes import revocation_routes
from parley_gateway.api.session_routes import session_routes
from parley_gateway.api.turn_routes import turn_routes
from parley_gateway.auth.api_key_verifier import ApiKeyVerifier
from parley_gateway.auth.authenticator import Authenticator
from parley_gateway.auth.bad_token_limit import BadTokenLimit
from parley_gateway.auth.revocation_list import RevocationList
from parley_gateway.auth.revocation_poll import RevocationPoll
from parley_gateway.auth.stream_tickets import StreamTickets
from parley_gateway.auth.token_cache import VerifiedTokenCache
from parley_gateway.auth.token_verification import TokenVerification
from parley_gateway.chat_completions.endpoint import ChatCompletions
from parley_gateway.chat_completions.model_directory import ModelDirectory
from parley_gateway.chat_completions.parameter_support import ParameterSupport
from parley_gateway.chat_completions.session_completion import SessionCompletion
from parley_gateway.chat_completions.stateless_completion import StatelessCompletion
from parley_gateway.history.early_pages import EarlyPages
from parley_gateway.history.export import Exporter
from parley_gateway.history.get_history import HistoryReader
from parley_gateway.history.page_cache import PageCache
from parley_gateway.history.page_cache_middleware import PageCacheMiddleware
from parley_gateway.history.version_lookup import VersionLookup, version_cache
from parley_gateway.http.body_limits import BodyLimits
from parley_gateway.http.client_address import ClientAddresses
from parley_gateway.http.cors import with_cors
from parley_gateway.http.forwarding import Forwarder
from parley_gateway.http.query_limit import QueryLimit
from parley_gateway.http.request_errors import install_request_error_handlers
from parley_gateway.http.security_headers import SecurityHeaders
from parley_gateway.http.stream_limiter import StreamLimiter
from parley_gateway.http.unknown_routes import install_unknown_route_handlers
from parley_gateway.http.upstreams import Upstreams
from parley_gateway.limits.completion_admission import CompletionAdmission
from parley_gateway.limits.gateway_limits import GatewayLimits, gateway_limits
from parley_gateway.metrics import GatewayMetrics
from parley_gateway.page.page_files import PageFiles
from parley_gateway.settings import GatewaySettings
from parley_gateway.turns.event_relay import TurnEventRelays
from parley_gateway.turns.open_turn import TurnOpener
from parley_gateway.turns.resume_stream import StreamResumer, TicketAuthenticator
from parley_gateway.turns.submit_message import MessageSubmitter


@dataclass(frozen=True, slots=True)
class Gateway:
    """`asgi` is served: the page cache in front of `api`, whose stack costs more.

    `early_pages` answers repeated requests in front of both.
    """

    asgi: ASGIApp
    early_pages: EarlyPages
    api: FastAPI
    tokens: VerifiedTokenCache
    monitor: ProcessMonitor
    begin_drain: Callable[[], None]
    hurry: Callable[[], None]


def create_gateway(settings: GatewaySettings) -> Gateway:
    """Routes are added at startup: the HTTP client requires the running event loop.

    Raises InvalidSettings.
    """
    monitor = ProcessMonitor("gateway")
    pages = PageCache(settings.page_cache)
    tokens = VerifiedTokenCache(settings.token_cache.ttl_seconds)
    verification = TokenVerification(settings.jwt)
    limits = gateway_limits(settings.limits_file, settings.redis_url, monitor)
    revocations = RevocationList()
    addresses = ClientAddresses(settings.trusted_proxies)
    streams = StreamLimiter(
        settings.max_streams,
        settings.max_person_share,
        revocations=revocations,
        drain_seconds=settings.drain_seconds,
        handover_seconds=settings.handover_seconds,
        within_limits=limits.requests.stream,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            http_session() as http,
            version_cache(settings.redis_url, monitor) as cached_versions,
            verification.running(http, monitor, tokens.clear),
        ):
            upstreams = Upstreams(
                http,
                settings.internal_secret,
                session_url=settings.session_url,
                inference_url=settings.inference_url,
                history_url=settings.history_url,
                monitor=monitor,
            )
            revoked = RevocationPoll(upstreams.session, revocations, tokens, streams.end_revoked)
            api_keys = ApiKeyVerifier(upstreams.session)
            authenticator = Authenticator(
                verification.verifier,
                api_keys,
                tokens,
                revocations,
                BadTokenLimit(addresses.client_of),
                limits.on_request,
            )
            versions = app.state.versions = VersionLookup(cached_versions, upstreams.session)
            app.router.routes += _routes(
                settings,
                authenticator,
                revocations,
                verification,
                upstreams,
                pages,
                versions,
                streams,
                limits,
                monitor,
                metrics,
            )

            def apply(fresh: GatewaySettings) -> None:
                replace_limits = limits.replacement(fresh.limits_file)
                verification.replace(fresh.jwt)
                replace_limits()
                settings.internal_secret.replace(fresh.internal_secret)
                tokens.clear()

            reloader = SettingsReloader(
                settings, apply, monitor.registry, more_files=lambda: verification.more_files
            )
            # Before the first request is accepted, where the session service answers.
            await revoked.poll()
            async with background_tasks(
                _start(verification, revoked, monitor.state),
                *(each.run() for each in (reloader, revoked, limits)),
            ):
                yield

    api = FastAPI(
        title="Parley",
        version="1",
        description="An AI-chat backend that never forgets and never loses an answer. "
        "Every error has the shape ErrorResponse, and every response an `x-request-id`.",
        lifespan=lifespan,
        openapi_url="/openapi.json" if settings.public_docs else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # FastAPI's own spans and log records would have URLs with their queries, and exceptions.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    install_openapi(api)
    api.add_middleware(BodyLimits, settings=settings.body)
    api.add_middleware(QueryLimit)
    api.add_middleware(
        RequestObserver,
        metrics=monitor.requests,
        person_key=lambda: settings.internal_secret.value,
        begin_span=EntrySpans(settings.trusted_proxies),
        client_address=addresses.address_of,
    )
    install_error_handlers(api)
    install_request_error_handlers(api)
    install_unknown_route_handlers(api)
    # Outside of the application, whose own middleware does not see the response to a defect.
    cached = PageCacheMiddleware(
        SecurityHeaders(api),
        pages,
        tokens,
        lambda: api.state.versions,
        monitor.requests,
        limits.requests,
    )
    metrics = GatewayMetrics(monitor.registry, streams, cached, verification)
    asgi = with_cors(limits.with_headers(cached), settings.cors_origins)

    def begin_drain() -> None:
        monitor.state.draining = True
        streams.drain()

    return Gateway(asgi, cached.early_pages, api, tokens, monitor, begin_drain, streams.hurry)


async def _start(
    verification: TokenVerification, revoked: RevocationPoll, state: ProcessState
) -> None:
    """The process is ready once it can verify tokens and knows which are revoked."""
    state.wait_for("token_issuer")
    await verification.wait_until_usable()
    state.wait_for("session")
    await revoked.wait_until_complete()
    state.mark_started()


def _routes(
    settings: GatewaySettings,
    authenticator: Authenticator,
    revocations: RevocationList,
    verification: TokenVerification,
    upstreams: Upstreams,
    pages: PageCache,
    versions: VersionLookup,
    streams: StreamLimiter,
    limits: GatewayLimits,
    monitor: ProcessMonitor,
    metrics: GatewayMetrics,
) -> Sequence[BaseRoute]:
    tickets = StreamTickets(settings.internal_secret)
    files = PageFiles(settings.page_path)
    forwarder = Forwarder(upstreams.session, timeout_seconds=settings.upstream_timeout_seconds)
    relays = TurnEventRelays(upstreams, tickets, settings.stream, metrics.relay)
    opener = TurnOpener(forwarder, upstreams, relays)
    models = ModelDirectory(forwarder, upstreams.inference)
    reply_timeout_seconds = settings.reply_timeout_seconds
    chat_completions = ChatCompletions(
        streams,
        SessionCompletion(opener, models, reply_timeout_seconds=reply_timeout_seconds),
        StatelessCompletion(
            upstreams.inference,
            reply_timeout_seconds=reply_timeout_seconds,
        ),
        ParameterSupport(settings.rejected_parameters),
        CompletionAdmission(limits.requests, forwarder, upstreams.session).admit,
    )
    # In the order of their rates: each request tries the paths one after the other.
    routers = (
        read_history_route(authenticator, HistoryReader(forwarder, upstreams, pages, versions)),
        turn_routes(
            authenticator,
            TicketAuthenticator(authenticator, tickets, revocations),
            forwarder,
            upstreams,
            MessageSubmitter(opener, streams, reply_timeout_seconds=reply_timeout_seconds),
            StreamResumer(forwarder, upstreams, relays, streams),
            tickets,
        ),
        history_routes(
            authenticator,
            forwarder,
            upstreams,
            Exporter(
                upstreams.history,
                versions,
                streams,
                idle_timeout_seconds=settings.stream.idle_timeout_seconds,
            ),
        ),
        chat_completion_routes(authenticator, chat_completions),
        session_routes(authenticator, forwarder, upstreams),
        assistant_routes(authenticator, forwarder, upstreams, models),
        api_key_routes(authenticator, forwarder, upstreams),
        limit_routes(authenticator, forwarder, upstreams.session, limits.requests),
        revocation_routes(authenticator, forwarder, upstreams),
        health_routes(monitor.state),
        client_config_routes(files, lambda: verification.issuers),
    )
    # The routes themselves, not include_router: that matches every request's path twice.
    routes = [route for router in routers for route in router.routes]
    return [
        *routes,
        *_head_routes(routes),
        *(reference_routes() if settings.public_docs else ()),
        *page_routes(files, public_docs=settings.public_docs),
    ]


def _head_routes(routes: Sequence[BaseRoute]) -> Sequence[BaseRoute]:
    """HEAD for every GET, which FastAPI does not add; last, so that other requests skip them."""
    return [
        APIRoute(
            route.path,
            route.endpoint,
            methods=["HEAD"],
            dependencies=route.dependencies,
            include_in_schema=False,
        )
        for route in routes
        if isinstance(route, APIRoute) and "GET" in (route.methods or ())
    ]
