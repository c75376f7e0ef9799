"""ASGI application of the session service: routes, middleware and lifespan."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.routing import Route

from parley_contracts.internal_calls import SESSION_CALLS
from parley_core.http.body_limit import MAX_TOTAL_BYTES, BodyBudget, BodyLimitMiddleware
from parley_core.http.error_handlers import install_error_handlers
from parley_core.http.request_observer import RequestObserver
from parley_core.http.service_auth import ServiceAuthenticator
from parley_core.limits.rules_file import read_limit_rules
from parley_core.process.operational_routes import operational_routes
from parley_core.process.process_monitor import ProcessMonitor
from parley_core.process.settings_reloader import SettingsReloader
from parley_core.runtime.background_tasks import background_loops
from parley_session.api.api_key_routes import api_key_routes
from parley_session.api.assistant_routes import assistant_routes
from parley_session.api.audit_routes import audit_routes
from parley_session.api.errors import install_domain_error_handlers, install_key_error_handlers
from parley_session.api.key_routes import key_routes
from parley_session.api.message_routes import message_routes
from parley_session.api.revocation_routes import revocation_routes
from parley_session.api.session_routes import session_routes
from parley_session.api.turn_limit_routes import limit_routes
from parley_session.api.turn_routes import turn_routes
from parley_session.api.version_routes import version_routes
from parley_session.application.audit.limits_audit import LimitsAudit
from parley_session.application.model_prices import read_model_prices
from parley_session.application.retention_policy_file import read_retention_policies
from parley_session.application.token_counter import load_vocabulary
from parley_session.key_management.key_service_monitor import KeyServiceMonitor
from parley_session.key_management.keyring import Keyring
from parley_session.settings import SessionSettings
from parley_session.wiring import Services, session_services

# Bounds the memory of a request; imports are the largest bodies.
MAX_BODY_BYTES = 4 * 1024 * 1024

# Each inference process calls the first two twice a second, each gateway the last.
QUIET_ROUTES = frozenset(
    (
        "/runners/{runner_id:uuid}/heartbeat",
        "/runners/{runner_id:uuid}/cancelled-turns",
        "/revocations",
    )
)


def create_app(settings: SessionSettings) -> Starlette:
    """The application; its background tasks run during its lifespan. Raises InvalidSettings.

    `app.state.monitor` is the ProcessMonitor.
    """
    monitor = ProcessMonitor("session")
    policies = read_retention_policies(settings.retention_policy_path)
    limit_rules = read_limit_rules(settings.limits_file)
    prices = read_model_prices(settings.models_path, limit_rules)
    limits_audit = LimitsAudit(limit_rules)
    load_vocabulary(settings.default_model)
    keyring = Keyring(settings.master_key, KeyServiceMonitor(monitor))

    def apply(fresh: SessionSettings) -> None:
        fresh_policies = read_retention_policies(fresh.retention_policy_path)
        fresh_limit_rules = read_limit_rules(fresh.limits_file)
        fresh_prices = read_model_prices(fresh.models_path, fresh_limit_rules)
        keyring.replace(fresh.master_key)
        policies.replace(fresh_policies)
        prices.replace(fresh_prices)
        limit_rules.replace(fresh_limit_rules)
        limits_audit.on_reloaded()
        settings.service_keys.replace(fresh.service_keys)
        settings.tls.replace(fresh.tls)
        settings.database.replace(fresh.database)
        settings.redis.replace(fresh.redis)
        settings.kafka.replace(fresh.kafka)

    # Now: the start may wait for a migration, and files may change meanwhile.
    reloader = SettingsReloader(settings, apply, monitor.registry)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with (
            aclosing(keyring),
            session_services(settings, keyring, policies, limit_rules, prices, monitor) as services,
        ):
            # No request is accepted before the startup is complete.
            authenticator = ServiceAuthenticator(
                settings.service_keys, SESSION_CALLS, service="session"
            )
            app.router.routes.extend(authenticator.authenticated(routes(services)))
            if settings.management_port is None:
                app.router.routes.extend(operational_routes(monitor))
            async with background_loops(
                *services.loops, reloader.run, partial(limits_audit.run, services.audit_store)
            ):
                monitor.state.mark_started()
                yield

    app = Starlette(lifespan=lifespan)
    app.state.monitor = monitor
    app.add_middleware(
        BodyLimitMiddleware,
        limit=MAX_BODY_BYTES,
        budget=BodyBudget(MAX_TOTAL_BYTES, "session_busy"),
    )
    app.add_middleware(
        RequestObserver,
        metrics=monitor.requests,
        quiet_routes=QUIET_ROUTES,
    )
    install_error_handlers(app)
    install_domain_error_handlers(app)
    install_key_error_handlers(app, monitor.registry)
    return app


def routes(services: Services) -> Sequence[Route]:
    """The internal API (docs/internal-api.md)."""
    return [
        # Ordered by frequency: a request is matched against one route after the other.
        *message_routes(services.turn_commands, services.importer, services.updater),
        *turn_routes(
            services.sessions,
            services.lifecycle,
            services.turns,
            services.index,
            services.completions,
            services.cancel_notices,
        ),
        *limit_routes(services.limits),
        *version_routes(services.index),
        *key_routes(services.store, services.search_keys, services.audit),
        *api_key_routes(services.api_keys),
        *revocation_routes(services.revocations, services.api_keys),
        *audit_routes(services.audit),
        *assistant_routes(services.catalogue, services.administration, services.lifetimes),
        *session_routes(
            services.sessions,
            services.starter,
            services.updater,
            services.forker,
            services.deletion,
        ),
    ]
