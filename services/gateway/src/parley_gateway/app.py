"""The one place where the gateway is put together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from parley_core.http.error_handlers import RequestIdMiddleware, install_error_handlers
from parley_core.http.service_client import http_session
from parley_gateway.api.assistant_routes import assistant_routes
from parley_gateway.api.chat_completion_routes import completion_routes
from parley_gateway.api.history_routes import history_routes
from parley_gateway.api.openapi.document import document
from parley_gateway.api.router import health_routes, routes
from parley_gateway.api.session_routes import session_routes
from parley_gateway.api.turn_routes import turn_routes
from parley_gateway.auth.authenticator import Authenticator
from parley_gateway.auth.jwks_client import JWKSClient, JWKSSettings
from parley_gateway.auth.jwt_verifiers import JWKSVerifier, JWTVerifier, SharedSecretVerifier
from parley_gateway.auth.stream_tickets import StreamTickets
from parley_gateway.auth.token_cache import VerifiedTokenCache
from parley_gateway.history.delete_sessions import DeleteSessionsEndpoint
from parley_gateway.history.export import ExportEndpoint
from parley_gateway.history.get_history import GetHistoryEndpoint
from parley_gateway.history.invalidation_feed import follow_invalidation_feed
from parley_gateway.history.page_cache import PageCache
from parley_gateway.history.page_cache_middleware import PageCacheMiddleware
from parley_gateway.history.recent_writes import RecentWrites
from parley_gateway.http.body_limits import BodyLimits
from parley_gateway.http.forwarding import Forwarder, Routes
from parley_gateway.http.stream_limiter import StreamLimiter
from parley_gateway.http.upstreams import Upstreams
from parley_gateway.http.validation_errors import install_validation_error_handler
from parley_gateway.limits import movement_limits, page_limits, turn_limits, write_limits
from parley_gateway.parts import Parts
from parley_gateway.settings import GatewaySettings


def create_app(settings: GatewaySettings) -> FastAPI:
    """The application; `app.state.begin_drain()` is for SIGTERM."""
    pages = PageCache(page_limits(settings))
    parts = Parts(
        pages,
        RecentWrites(write_limits(settings), pages.moved),
        VerifiedTokenCache(settings.gateway_verified_tokens, settings.gateway_verified_seconds),
        StreamTickets(settings.internal_secret, settings.gateway_ticket_seconds),
    )
    streams = StreamLimiter(settings.gateway_streams)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with http_session() as http:
            parts.authenticate = Authenticator(
                _tokens(settings, http, parts.verified), parts.verified
            )
            parts.peers = Upstreams(
                http,
                settings.internal_secret,
                session_url=settings.session_url,
                inference_url=settings.inference_url,
                history_url=settings.history_url,
            )
            following = asyncio.create_task(
                follow_invalidation_feed(parts.peers.history, pages, movement_limits(settings))
            )
            yield
            following.cancel()
            await asyncio.wait((following,))

    app = FastAPI(
        title="Parley",
        routes=list(routes(_groups(parts, streams, settings))),
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
    )
    # Routes that decode nothing describe nothing: the document is written out.
    app.openapi = document  # type: ignore[method-assign]
    app.state.parts, app.state.begin_drain = parts, streams.drain
    app.add_middleware(
        BodyLimits,
        usual=settings.gateway_body_bytes,
        imports=settings.gateway_import_bytes,
        completions=settings.gateway_completion_bytes,
    )
    app.add_middleware(RequestIdMiddleware)
    install_error_handlers(app)
    install_validation_error_handler(app)
    app.add_exception_handler(ClientDisconnect, _on_client_gone)
    return app


def _groups(parts: Parts, streams: StreamLimiter, settings: GatewaySettings) -> Sequence[Routes]:
    limits = turn_limits(settings)
    passing = Forwarder(parts, limits)
    erasing = DeleteSessionsEndpoint(
        parts,
        passing,
        known_seconds=settings.gateway_erased_seconds,
        pause_seconds=settings.gateway_erased_pause_seconds,
    )
    reading, exporting = GetHistoryEndpoint(parts, passing), ExportEndpoint(parts, streams, limits)
    return (
        session_routes(parts, passing, erasing),
        turn_routes(parts, passing, streams, limits),
        history_routes(parts, passing, reading, exporting, limits),
        assistant_routes(parts, passing),
        completion_routes(
            parts,
            passing,
            streams,
            limits,
            models_seconds=settings.gateway_models_seconds,
            drain_seconds=settings.gateway_drain_seconds,
        ),
        health_routes(parts, streams, ready_seconds=settings.gateway_ready_seconds),
    )


def _tokens(
    settings: GatewaySettings, http: aiohttp.ClientSession, verified: VerifiedTokenCache
) -> JWTVerifier:
    issuer, audience = settings.jwt_issuer, settings.jwt_audience
    if settings.jwt_secret is not None:
        secret = settings.jwt_secret.get_secret_value()
        return SharedSecretVerifier(secret, issuer=issuer, audience=audience)
    # The settings have made sure of it.
    assert settings.jwks_url is not None
    assert issuer is not None
    assert audience is not None
    limits = JWKSSettings(
        seconds=settings.jwks_seconds,
        bytes=settings.jwks_bytes,
        refetch_seconds=settings.jwks_refetch_seconds,
        max_age_seconds=settings.jwks_max_age_seconds,
    )
    keys = JWKSClient(http, settings.jwks_url, limits, verified.forget)
    return JWKSVerifier(keys, issuer=issuer, audience=audience)


def in_front_of(app: FastAPI) -> ASGIApp:
    """What is served: kept pages are answered before the application, whose stack costs more."""
    return PageCacheMiddleware(app, app.state.parts)


async def _on_client_gone(request: Request, error: Exception) -> Response:
    del request, error  # It left while it sent its body; nobody reads this.
    return Response(status_code=400)
