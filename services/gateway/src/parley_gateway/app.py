"""The one place where the gateway is put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from parley_core.body_limit import BodyLimitMiddleware
from parley_core.calls import http_session
from parley_core.errors import RequestIdMiddleware, install_error_handlers
from parley_gateway.api import routes
from parley_gateway.authentication import Authenticator
from parley_gateway.open_streams import OpenStreams
from parley_gateway.openapi import document
from parley_gateway.parts import Parts
from parley_gateway.peers import Peers
from parley_gateway.published_keys import FetchLimits, PublishedKeys
from parley_gateway.settings import GatewaySettings
from parley_gateway.tokens import PublishedKeyTokens, SharedSecretTokens, Tokens
from parley_gateway.turn_events import RelayLimits
from parley_gateway.turn_limits import TurnLimits


def create_app(settings: GatewaySettings) -> FastAPI:
    """The application; `app.state.begin_drain()` is for SIGTERM."""
    parts, streams = Parts(), OpenStreams(settings.gateway_streams)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with http_session() as http:
            parts.authenticate = Authenticator(_tokens(settings, http))
            parts.peers = Peers(
                http,
                settings.internal_secret,
                session_url=settings.session_url,
                inference_url=settings.inference_url,
                history_url=settings.history_url,
            )
            yield

    app = FastAPI(
        title="Parley",
        routes=list(
            routes(
                parts,
                streams,
                _turn_limits(settings),
                ready_seconds=settings.gateway_ready_seconds,
            )
        ),
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
    )
    # Routes that decode nothing describe nothing: the document is written out.
    app.openapi = document  # type: ignore[method-assign]
    app.state.begin_drain = streams.drain
    app.add_middleware(BodyLimitMiddleware, limit=settings.gateway_body_bytes)
    app.add_middleware(RequestIdMiddleware)
    install_error_handlers(app)
    app.add_exception_handler(ClientDisconnect, _on_client_gone)
    return app


def _tokens(settings: GatewaySettings, http: aiohttp.ClientSession) -> Tokens:
    issuer, audience = settings.jwt_issuer, settings.jwt_audience
    if settings.jwt_secret is not None:
        secret = settings.jwt_secret.get_secret_value()
        return SharedSecretTokens(secret, issuer=issuer, audience=audience)
    # The settings have made sure of it.
    assert settings.jwks_url is not None
    assert issuer is not None
    assert audience is not None
    limits = FetchLimits(
        seconds=settings.jwks_seconds,
        bytes=settings.jwks_bytes,
        refetch_seconds=settings.jwks_refetch_seconds,
        max_age_seconds=settings.jwks_max_age_seconds,
    )
    keys = PublishedKeys(http, settings.jwks_url, limits)
    return PublishedKeyTokens(keys, issuer=issuer, audience=audience)


def _turn_limits(settings: GatewaySettings) -> TurnLimits:
    return TurnLimits(
        body=settings.gateway_body_seconds,
        call=settings.gateway_call_seconds,
        heartbeat=settings.gateway_stream_heartbeat_seconds,
        reply=settings.gateway_reply_seconds,
        relay=RelayLimits(
            silence=settings.gateway_silence_seconds,
            reattach=settings.gateway_reattach_seconds,
            reattach_pause=settings.gateway_reattach_pause_seconds,
            reattach_most_pause=settings.gateway_reattach_most_pause_seconds,
            look=settings.gateway_look_seconds,
            event_bytes=settings.gateway_event_bytes,
        ),
    )


async def _on_client_gone(request: Request, error: Exception) -> Response:
    del request, error  # It left while it sent its body; nobody reads this.
    return Response(status_code=400)
