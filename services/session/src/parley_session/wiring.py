"""Composition root of the session service: builds every component once and connects them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from parley_core.limits.rules import LimitRules
from parley_core.log import LogWriter
from parley_core.process.process_monitor import ProcessMonitor
from parley_core.storage.postgres_pool import Pool
from parley_session.application.api_keys import ApiKeys
from parley_session.application.assistants.administration import (
    MAX_ASSISTANTS_PER_TENANT,
    AssistantAdministration,
)
from parley_session.application.assistants.assistant_catalogue import AssistantCatalogue
from parley_session.application.audit.audit_trail import AuditTrail
from parley_session.application.command_executor import CommandExecutor, utc_now
from parley_session.application.model_prices import ModelPrices
from parley_session.application.retention import RETENTION_LIMITS, Retention
from parley_session.application.revocations import Revocations
from parley_session.application.sessions.delete_session import SessionDeletion
from parley_session.application.sessions.fork_session import (
    MAX_FORK_BYTES,
    MAX_FORK_MESSAGES,
    SessionForker,
)
from parley_session.application.sessions.import_messages import MessageImporter
from parley_session.application.sessions.record_completion import CompletionRecorder
from parley_session.application.sessions.session_lifetimes import SessionLifetimes
from parley_session.application.sessions.session_queries import SessionQueries
from parley_session.application.sessions.start_session import SessionStarter
from parley_session.application.sessions.update_session import SessionUpdater
from parley_session.application.turns.cancel_notices import CancelNotices
from parley_session.application.turns.lease_sweeper import SWEEP_INTERVAL_SECONDS, LeaseSweeper
from parley_session.application.turns.partial_reply_recovery import (
    PartialReplyRecovery,
    partial_reply_recovery,
)
from parley_session.application.turns.prompt_builder import PromptBuilder
from parley_session.application.turns.stopped_turns import StoppedTurns
from parley_session.application.turns.submit_message import TurnCommands
from parley_session.application.turns.turn_admission import TurnAdmission
from parley_session.application.turns.turn_costs import TurnCosts
from parley_session.application.turns.turn_lifecycle import TurnLifecycle
from parley_session.application.turns.turn_limits import TurnLimits
from parley_session.application.version_publisher import VersionPublisher, version_publisher
from parley_session.domain.retention_policy import RetentionPolicies
from parley_session.key_management.keyring import Keyring
from parley_session.metrics import Metrics
from parley_session.relay.outbox_sql import (
    API_KEYS_OUTBOX,
    ASSISTANTS_OUTBOX,
    AUDIT_OUTBOX,
    SESSIONS_OUTBOX,
    OutboxTable,
)
from parley_session.relay.relay import RELAY_LIMITS, TURN_OPENED_DELAY_SECONDS, Relay
from parley_session.relay.store_monitor import MEASURE_INTERVAL_SECONDS, StoreMonitor
from parley_session.settings import LogCommandSettings, SessionSettings
from parley_session.storage.assistant_repository import AssistantRepository
from parley_session.storage.assistant_store import AssistantStore
from parley_session.storage.audit.audit_store import AuditStore
from parley_session.storage.database import open_store_pool
from parley_session.storage.event_store import EventStore
from parley_session.storage.keys.api_key_store import ApiKeyStore
from parley_session.storage.keys.installation_key import InstallationKey
from parley_session.storage.keys.revocation_store import RevocationStore
from parley_session.storage.keys.search_keys import SearchKeys
from parley_session.storage.session_index import SessionIndex
from parley_session.storage.turn_counts import TurnCounts
from parley_session.storage.turn_load import TurnLoadReader
from parley_session.storage.turn_store import TurnStore


@dataclass(frozen=True, slots=True)
class Services:
    """The components that the routes use, and the coroutines to run beside them."""

    store: EventStore
    turns: TurnStore
    index: SessionIndex
    search_keys: SearchKeys
    sessions: SessionQueries
    starter: SessionStarter
    updater: SessionUpdater
    forker: SessionForker
    importer: MessageImporter
    deletion: SessionDeletion
    completions: CompletionRecorder
    turn_commands: TurnCommands
    lifecycle: TurnLifecycle
    cancel_notices: CancelNotices
    catalogue: AssistantCatalogue
    administration: AssistantAdministration
    api_keys: ApiKeys
    revocations: Revocations
    lifetimes: SessionLifetimes
    limits: TurnLimits
    audit_store: AuditStore
    audit: AuditTrail
    loops: Sequence[Callable[[], Awaitable[None]]]


@asynccontextmanager
async def session_services(
    settings: SessionSettings,
    keyring: Keyring,
    policies: RetentionPolicies,
    limit_rules: LimitRules,
    prices: ModelPrices,
    monitor: ProcessMonitor,
) -> AsyncIterator[Services]:
    """Compose the service; connections are closed at the end of the block."""
    on_redis_result = monitor.dependencies["redis"].report
    async with (
        open_store_pool(settings.database, monitor) as pool,
        partial_reply_recovery(settings.redis, on_redis_result) as partial_replies,
        version_publisher(settings.redis, on_result=on_redis_result) as versions,
    ):
        engines = pool, partial_replies, versions
        yield _compose(settings, keyring, policies, limit_rules, prices, monitor, *engines)


def _compose(
    settings: SessionSettings,
    keyring: Keyring,
    policies: RetentionPolicies,
    limit_rules: LimitRules,
    prices: ModelPrices,
    monitor: ProcessMonitor,
    pool: Pool,
    partial_replies: PartialReplyRecovery,
    versions: VersionPublisher,
) -> Services:
    kafka = monitor.dependencies["kafka"].report
    relay = new_relay(settings, settings.topic.sessions, SESSIONS_OUTBOX, kafka)
    assistants_relay = new_relay(settings, settings.topic.assistants, ASSISTANTS_OUTBOX, kafka)
    api_keys_relay = new_relay(settings, settings.topic.api_keys, API_KEYS_OUTBOX, kafka)
    audit_relay = new_relay(settings, settings.topic.audit, AUDIT_OUTBOX, kafka)
    relays = [relay, assistants_relay, api_keys_relay, audit_relay]
    store_monitor = StoreMonitor(
        settings.database,
        [each.table for each in relays],
        timeout_seconds=settings.database.timeout_seconds,
        interval_seconds=MEASURE_INTERVAL_SECONDS,
    )
    metrics = Metrics(
        monitor.registry,
        relays,
        store_monitor,
        keyring,
    )

    def on_session_appended(opens_turn: bool) -> None:
        relay.wake(TURN_OPENED_DELAY_SECONDS if opens_turn else 0)

    def on_api_key_appended() -> None:
        api_keys_relay.wake()
        audit_relay.wake()

    catalogue = AssistantCatalogue(AssistantRepository(pool), settings.default_model)
    counts, api_keys = TurnCounts(pool), ApiKeyStore(pool, on_api_key_appended)
    costs = TurnCosts(prices, catalogue)
    limits = TurnLimits(limit_rules, counts, costs, api_keys.limits_of)
    store = EventStore(
        pool,
        keyring,
        max_cache_bytes=settings.session_cache_max_bytes,
        on_appended=on_session_appended,
        on_audited=audit_relay.wake,
        observe_append=metrics.observe_append,
        publish_version=versions.publish,
        usage_counted=lambda: limits.usage_counted,
    )
    turns, index = TurnStore(pool), SessionIndex(pool)
    audit_store = AuditStore(pool, audit_relay.wake)

    def on_assistant_appended() -> None:
        catalogue.clear_cache()
        assistants_relay.wake()
        audit_relay.wake()

    admission = TurnAdmission(
        TurnLoadReader(pool, settings.turn.lease_seconds),
        max_person_share=settings.turn.max_person_share,
    )
    executor = CommandExecutor(store, admission, limits)
    sessions = SessionQueries(
        store, turns, executor, max_messages=settings.max_messages_per_session
    )
    installation_key = InstallationKey(pool, keyring)
    starter = SessionStarter(
        store,
        index,
        executor,
        sessions,
        catalogue,
        audit_store,
        installation_key=installation_key,
        temporary_hours=settings.temporary_session_hours,
        clock=utc_now,
    )
    deletion = SessionDeletion(
        executor,
        index,
        undelete_days=policies.undelete_days,
        clock=utc_now,
        on_erased=metrics.count_erased,
    )
    prompt_builder = PromptBuilder(store, catalogue, settings.default_context_tokens)
    lifecycle = TurnLifecycle(store, turns, sessions, executor, prompt_builder, partial_replies)
    sweeper = LeaseSweeper(
        turns,
        counts,
        lifecycle,
        lease_seconds=settings.turn.lease_seconds,
        idempotency_hours=settings.idempotency_hours,
        interval_seconds=SWEEP_INTERVAL_SECONDS,
        on_swept=metrics.count_swept,
    )
    stopped_turns = StoppedTurns(turns, sessions, lifecycle)
    cancel_notices = CancelNotices(settings.database, turns)
    retention = metrics.retention = Retention(pool, deletion, policies, RETENTION_LIMITS)
    return Services(
        store=store,
        turns=turns,
        index=index,
        search_keys=SearchKeys(pool, keyring),
        sessions=sessions,
        starter=starter,
        updater=SessionUpdater(executor, sessions),
        forker=SessionForker(
            store,
            executor,
            sessions,
            starter,
            catalogue,
            max_messages=MAX_FORK_MESSAGES,
            max_bytes=MAX_FORK_BYTES,
        ),
        importer=MessageImporter(
            store, executor, sessions, catalogue, stopped_turns, clock=utc_now
        ),
        deletion=deletion,
        completions=CompletionRecorder(store, index, limits, clock=utc_now),
        turn_commands=TurnCommands(
            store, turns, executor, sessions, catalogue, stopped_turns, limits
        ),
        lifecycle=lifecycle,
        cancel_notices=cancel_notices,
        catalogue=catalogue,
        administration=AssistantAdministration(
            AssistantStore(pool, on_assistant_appended), max_assistants=MAX_ASSISTANTS_PER_TENANT
        ),
        api_keys=ApiKeys(api_keys, installation_key, utc_now, limit_rules),
        revocations=Revocations(
            RevocationStore(pool, on_api_key_appended), installation_key, utc_now
        ),
        lifetimes=SessionLifetimes(policies, settings.temporary_session_hours),
        limits=limits,
        audit_store=audit_store,
        audit=AuditTrail(audit_store, index),
        loops=[
            *(each.run for each in relays),
            store_monitor.run,
            sweeper.run,
            cancel_notices.run,
            retention.run,
            versions.run,
        ],
    )


def new_relay(
    settings: SessionSettings | LogCommandSettings,
    topic: str,
    table: OutboxTable,
    on_log_result: Callable[[bool], None] = lambda _: None,
) -> Relay:
    """The relay of one outbox to one topic."""
    database, brokers = settings.database, settings.kafka.brokers
    limits = replace(
        RELAY_LIMITS,
        max_batch_events=settings.relay.max_batch_events,
        database_timeout_seconds=database.timeout_seconds,
    )
    return Relay(database, lambda: LogWriter(brokers, topic), limits, table, on_log_result)
