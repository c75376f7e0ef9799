"""Composes the gateway: its services, routes and middleware."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI
from starlette.types import ASGIApp

from parley_core.http.error_handlers import install_error_handlers
from parley_core.http.request_observer import RequestObserver
from parley_core.http.service_client import http_session
from parley_core.process.process_monitor import ProcessMonitor
from parley_core.process.process_state import ProcessState
from parley_core.process.settings_reloader import SettingsReloader
from parley_core.runtime.background_tasks import background_loops
from parley_core.tracing.request_spans import EntrySpans
from parley_gateway.api.openapi import install_openapi
from parley_gateway.audit.refused_access import RefusedAccessRecorder
from parley_gateway.auth.api_key_verifier import ApiKeyVerifier
from parley_gateway.auth.authenticator import Authenticator
from parley_gateway.auth.bad_token_limit import BadTokenLimit
from parley_gateway.auth.bad_token_refusals import BadTokenRefusals
from parley_gateway.auth.revocation_list import RevocationList
from parley_gateway.auth.revocation_poll import RevocationPoll
from parley_gateway.auth.token_cache import VerifiedTokenCache
from parley_gateway.auth.token_verification import TokenVerification
from parley_gateway.history.early_pages import EarlyPages
from parley_gateway.history.page_cache import PageCache
from parley_gateway.history.page_cache_middleware import PageCacheMiddleware
from parley_gateway.history.version_lookup import VersionLookup, version_cache
from parley_gateway.http.body_limits import BodyLimits
from parley_gateway.http.client_address import ClientAddresses
from parley_gateway.http.cors import with_cors
from parley_gateway.http.query_limit import QueryLimit
from parley_gateway.http.request_errors import install_request_error_handlers
from parley_gateway.http.security_headers import SecurityHeaders
from parley_gateway.http.stream_limiter import StreamLimiter
from parley_gateway.http.unknown_routes import install_unknown_route_handlers
from parley_gateway.http.upstreams import Upstreams
from parley_gateway.limits.gateway_limits import gateway_limits
from parley_gateway.metrics import GatewayMetrics
from parley_gateway.page.page_files import PageFiles
from parley_gateway.routes import gateway_components, gateway_routes
from parley_gateway.settings import GatewaySettings


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
    """Raises InvalidSettings."""
    monitor = ProcessMonitor("gateway")
    pages = PageCache(settings.page_cache)
    files = PageFiles(settings.page_path)
    tokens = VerifiedTokenCache(settings.token_cache.ttl_seconds)
    verification = TokenVerification(settings.jwt)
    limits = gateway_limits(settings.limits_file, settings.redis, monitor)
    revocations = RevocationList()
    addresses = ClientAddresses(settings.trusted_proxies)
    bad_tokens = BadTokenLimit(addresses.client_of, monitor.registry)
    refused = RefusedAccessRecorder(addresses.address_of, monitor.registry)
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
            version_cache(settings.redis, monitor) as cached_versions,
            verification.running(http, monitor, tokens.clear),
        ):
            upstreams = Upstreams(
                http,
                settings.signing_key,
                session_url=settings.session_url,
                inference_url=settings.inference_url,
                history_url=settings.history_url,
                monitor=monitor,
                tls=settings.tls,
            )
            revoked = RevocationPoll(upstreams.session, revocations, tokens, streams.end_revoked)
            api_keys = ApiKeyVerifier(upstreams.session)
            authenticator = Authenticator(
                verification.verifier,
                api_keys,
                tokens,
                revocations,
                bad_tokens,
                limits.on_request,
            )
            versions = app.state.versions = VersionLookup(cached_versions, upstreams.session)
            app.state.components = gateway_components(
                settings,
                authenticator,
                revocations,
                verification,
                upstreams,
                pages,
                files,
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
                settings.signing_key.replace(fresh.signing_key)
                settings.service_keys.replace(fresh.service_keys)
                settings.tls.replace(fresh.tls)
                settings.redis.replace(fresh.redis)
                tokens.clear()

            reloader = SettingsReloader(
                settings, apply, monitor.registry, more_files=lambda: verification.more_files
            )
            # Before the first request is accepted, where the session service answers.
            await revoked.poll()
            async with background_loops(
                partial(_start, verification, revocations, monitor.state),
                *(each.run for each in (reloader, revoked, limits)),
                partial(refused.run, upstreams.session),
            ):
                yield
            await refused.send(upstreams.session)

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
    api.router.routes += gateway_routes(files, public_docs=settings.public_docs)
    install_openapi(api)
    api.add_middleware(BodyLimits, settings=settings.body)
    api.add_middleware(QueryLimit)
    api.add_middleware(
        RequestObserver,
        metrics=monitor.requests,
        pseudonym_of=settings.signing_key.pseudonym_of,
        begin_span=EntrySpans(settings.trusted_proxies),
        client_address=addresses.address_of,
        on_response=refused.observe,
    )
    install_error_handlers(api)
    install_request_error_handlers(api)
    install_unknown_route_handlers(api)
    # Outside of the application, whose own middleware does not see the response to a defect.
    cached = PageCacheMiddleware(
        SecurityHeaders(
            BadTokenRefusals(
                api, bad_tokens, tokens, monitor.requests, addresses.address_of, refused.observe
            )
        ),
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
    verification: TokenVerification, revocations: RevocationList, state: ProcessState
) -> None:
    """The process is ready once it can verify tokens and knows which are revoked."""
    state.wait_for("token_issuer")
    await verification.wait_until_usable()
    state.wait_for("session")
    await revocations.wait_until_complete()
    state.mark_started()
