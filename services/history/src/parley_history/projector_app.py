"""Composition of `project`: the projector, its watchdog and metrics."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from parley_core.log import GroupReader
from parley_core.process.process_monitor import ProcessMonitor
from parley_core.process.settings_reloader import SettingsReloader
from parley_core.runtime.background_tasks import background_tasks
from parley_core.runtime.safe_logging import report_failure
from parley_history.projection.active_read_model import ActiveReadModel
from parley_history.projection.log_end_offsets import LogEndOffsets
from parley_history.projection.metrics import ProjectionDelays, register_projector_metrics
from parley_history.projection.projector import Projector, ProjectorObserver
from parley_history.projection.watchdog import ProjectorStalled, Watchdog
from parley_history.settings import ProjectSettings
from parley_history.storage.projection_stats import ProjectionStatsReader

# A stalled projector may also block the graceful shutdown, which then ends after this time.
FORCED_EXIT_SECONDS = 3


def create_projector_app(settings: ProjectSettings) -> Starlette:
    """Create the application, which has no routes: only its lifespan runs.

    `app.state.failure` is the error that ended the projector, `app.state.monitor` the
    ProcessMonitor.
    """
    monitor = ProcessMonitor("history-project")
    delays = ProjectionDelays(monitor.registry)
    projector = create_projector(
        settings,
        ProjectorObserver(
            on_joined=monitor.state.mark_started,
            on_log_result=monitor.dependencies["kafka"].report,
            on_database_result=monitor.dependencies["postgres"].report,
            observe_delays=delays.observe,
        ),
    )
    watchdog = create_watchdog(settings, projector)
    register_projector_metrics(monitor.registry, projector, watchdog)

    def apply(fresh: ProjectSettings) -> None:
        settings.database.replace(fresh.database)
        settings.kafka.replace(fresh.kafka)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        def on_end(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and app.state.failure is None:
                app.state.failure = task.exception()
                if isinstance(app.state.failure, ProjectorStalled):
                    _force_exit_later(app.state.failure)
                # Without its projector, the process shuts down gracefully.
                signal.raise_signal(signal.SIGTERM)

        monitor.state.wait_for("kafka")
        reloader = SettingsReloader(settings, apply, monitor.registry)
        async with background_tasks(projector.run(), watchdog.run(), reloader.run(), on_end=on_end):
            yield

    app = Starlette(lifespan=lifespan)
    app.state.failure, app.state.monitor = None, monitor
    return app


def create_projector(
    settings: ProjectSettings, observer: ProjectorObserver | None = None
) -> Projector:
    return Projector(
        lambda positions_of: GroupReader(
            settings.kafka.brokers, settings.topic, settings.projector.consumer_group, positions_of
        ),
        ActiveReadModel(settings.database),
        settings.projector.batch_size,
        observer=observer,
        topic=settings.topic,
    )


def create_watchdog(settings: ProjectSettings, projector: Projector) -> Watchdog:
    return Watchdog(
        LogEndOffsets(settings.kafka.brokers, settings.topic),
        ProjectionStatsReader(settings.database),
        projector,
        settings.projector.stall_timeout_seconds,
    )


def _force_exit_later(failure: ProjectorStalled) -> None:
    def force_exit() -> None:
        report_failure(failure)
        os._exit(1)

    timer = threading.Timer(FORCED_EXIT_SECONDS, force_exit)
    timer.daemon = True
    timer.start()
