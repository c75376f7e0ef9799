"""The routes of the gateway, and what serves them."""

from collections.abc import Sequence
from copy import copy

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from parley_core.process.process_monitor import ProcessMonitor
from parley_gateway.api import (
    administration_routes,
    api_key_routes,
    assistant_routes,
    chat_completion_routes,
    health_routes,
    history_routes,
    limit_routes,
    page_routes,
    session_routes,
    turn_routes,
)
from parley_gateway.api.reference_routes import reference_routes
from parley_gateway.audit.recorded_reads import RecordedReads
from parley_gateway.auth.authenticator import Authenticator
from parley_gateway.auth.revocation_list import RevocationList
from parley_gateway.auth.stream_tickets import StreamTickets
from parley_gateway.auth.token_verification import TokenVerification
from parley_gateway.chat_completions.endpoint import ChatCompletions
from parley_gateway.chat_completions.model_directory import ModelDirectory
from parley_gateway.chat_completions.parameter_support import ParameterSupport
from parley_gateway.chat_completions.session_completion import SessionCompletion
from parley_gateway.chat_completions.stateless_completion import StatelessCompletion
from parley_gateway.history.export import Exporter
from parley_gateway.history.get_history import HistoryReader
from parley_gateway.history.page_cache import PageCache
from parley_gateway.history.version_lookup import VersionLookup
from parley_gateway.http.forwarding import Forwarder
from parley_gateway.http.stream_limiter import StreamLimiter
from parley_gateway.http.upstreams import Upstreams
from parley_gateway.limits.completion_admission import CompletionAdmission
from parley_gateway.limits.gateway_limits import GatewayLimits
from parley_gateway.metrics import GatewayMetrics
from parley_gateway.page.page_files import PageFiles
from parley_gateway.route_dependencies import Components
from parley_gateway.settings import GatewaySettings
from parley_gateway.turns.event_relay import TurnEventRelays
from parley_gateway.turns.open_turn import TurnOpener
from parley_gateway.turns.resume_stream import StreamResumer, TicketAuthenticator
from parley_gateway.turns.submit_message import MessageSubmitter

# In the order of their rates: each request tries the paths one after the other.
_ROUTERS = (
    history_routes.read_router,
    turn_routes.router,
    history_routes.router,
    chat_completion_routes.router,
    session_routes.router,
    assistant_routes.router,
    api_key_routes.router,
    limit_routes.router,
    administration_routes.router,
    health_routes.router,
    page_routes.router,
)


def gateway_routes(files: PageFiles, *, public_docs: bool) -> Sequence[BaseRoute]:
    # The routes themselves, not include_router: that matches every request's path twice.
    routes = [route for router in _ROUTERS for route in router.routes]
    return [
        *routes,
        *_head_routes(routes),
        *(reference_routes() if public_docs else ()),
        *page_routes.page_routes(files, public_docs=public_docs),
    ]


def gateway_components(
    settings: GatewaySettings,
    authenticator: Authenticator,
    revocations: RevocationList,
    verification: TokenVerification,
    upstreams: Upstreams,
    pages: PageCache,
    files: PageFiles,
    versions: VersionLookup,
    streams: StreamLimiter,
    limits: GatewayLimits,
    monitor: ProcessMonitor,
    metrics: GatewayMetrics,
) -> Components:
    tickets = StreamTickets(settings.signing_key, settings.service_keys)
    forwarder = Forwarder(upstreams.session, timeout_seconds=settings.upstream_timeout_seconds)
    reads = RecordedReads(forwarder, upstreams.session)
    relays = TurnEventRelays(upstreams, tickets, settings.stream, metrics.relay)
    opener = TurnOpener(forwarder, upstreams, relays)
    models = ModelDirectory(forwarder, upstreams.inference)
    reply_timeout_seconds = settings.reply_timeout_seconds
    return Components(
        authenticator=authenticator,
        ticket_authenticator=TicketAuthenticator(authenticator, tickets, revocations),
        forwarder=forwarder,
        upstreams=upstreams,
        history_reader=HistoryReader(forwarder, upstreams, pages, versions),
        exporter=Exporter(
            upstreams.history,
            versions,
            streams,
            reads,
            idle_timeout_seconds=settings.stream.idle_timeout_seconds,
        ),
        recorded_reads=reads,
        submitter=MessageSubmitter(opener, streams, reply_timeout_seconds=reply_timeout_seconds),
        resumer=StreamResumer(forwarder, upstreams, relays, streams),
        tickets=tickets,
        chat_completions=ChatCompletions(
            streams,
            SessionCompletion(opener, models, reply_timeout_seconds=reply_timeout_seconds),
            StatelessCompletion(upstreams.inference, reply_timeout_seconds=reply_timeout_seconds),
            ParameterSupport(settings.rejected_parameters),
            CompletionAdmission(limits.requests, forwarder, upstreams.session).admit,
        ),
        models=models,
        request_limits=limits.requests,
        page_files=files,
        verification=verification,
        process_state=monitor.state,
    )


def _head_routes(routes: Sequence[BaseRoute]) -> Sequence[BaseRoute]:
    """HEAD for every GET, which FastAPI does not add; last, so that other requests skip them.

    Copies, because a new route would analyse its parameters again.
    """
    return [
        _with_method_head(route)
        for route in routes
        if isinstance(route, APIRoute) and "GET" in (route.methods or ())
    ]


def _with_method_head(route: APIRoute) -> APIRoute:
    head_route = copy(route)
    head_route.methods, head_route.include_in_schema = {"HEAD"}, False
    return head_route
