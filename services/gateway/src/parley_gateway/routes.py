"""The routes of the gateway, and what serves them."""

from collections.abc import Sequence
from copy import copy

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from parley_core.process.process_monitor import ProcessMonitor
from parley_gateway.api.administration_routes import administration_routes
from parley_gateway.api.api_key_routes import api_key_routes
from parley_gateway.api.assistant_routes import assistant_routes
from parley_gateway.api.chat_completion_routes import chat_completion_routes
from parley_gateway.api.health_routes import health_routes
from parley_gateway.api.history_routes import history_routes, read_history_route
from parley_gateway.api.limit_routes import limit_routes
from parley_gateway.api.page_routes import client_config_routes, page_routes
from parley_gateway.api.reference_routes import reference_routes
from parley_gateway.api.session_routes import session_routes
from parley_gateway.api.turn_routes import turn_routes
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
from parley_gateway.settings import GatewaySettings
from parley_gateway.turns.event_relay import TurnEventRelays
from parley_gateway.turns.open_turn import TurnOpener
from parley_gateway.turns.resume_stream import StreamResumer, TicketAuthenticator
from parley_gateway.turns.submit_message import MessageSubmitter


def gateway_routes(
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
    tickets = StreamTickets(settings.signing_key, settings.service_keys)
    files = PageFiles(settings.page_path)
    forwarder = Forwarder(upstreams.session, timeout_seconds=settings.upstream_timeout_seconds)
    reads = RecordedReads(forwarder, upstreams.session)
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
                reads,
                idle_timeout_seconds=settings.stream.idle_timeout_seconds,
            ),
            reads,
        ),
        chat_completion_routes(authenticator, chat_completions),
        session_routes(authenticator, forwarder, upstreams),
        assistant_routes(authenticator, forwarder, upstreams, models),
        api_key_routes(authenticator, forwarder, upstreams),
        limit_routes(authenticator, forwarder, upstreams.session, limits.requests),
        administration_routes(authenticator, forwarder, upstreams),
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
