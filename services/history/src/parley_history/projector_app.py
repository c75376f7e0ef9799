"""The one place where `project` is put together: the projector, its watchdog, and what it tells."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from parley_core.log import GroupReader
from parley_core.runtime.background_tasks import background_tasks
from parley_core.runtime.metrics import metrics_route
from parley_history.projection.active_read_model import ReadModel, ReadModelLimits
from parley_history.projection.log_end_offsets import LogEnds
from parley_history.projection.metrics import projector_registry
from parley_history.projection.projector import Projector, ProjectorLimits
from parley_history.projection.read_model_stats import ProjectionStatsReader
from parley_history.projection.watchdog import ProjectorStalled, Watchdog, WatchdogLimits
from parley_history.routes import health_routes
from parley_history.settings import ProjectorSettings

END_SECONDS = 3


def create_projector_app(settings: ProjectorSettings) -> Starlette:
    """The application; `app.state.failure` is what ended the projector, if anything did."""
    projector = create_projector(settings)
    watchdog = create_watchdog(settings, projector)

    async def missing() -> Sequence[str]:
        return projector.missing

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and app.state.failure is None:
                app.state.failure = task.exception()
                if isinstance(app.state.failure, ProjectorStalled):
                    _end_at_the_latest(app.state.failure)
                # The orderly end of the whole process: without its projector it is no use.
                signal.raise_signal(signal.SIGTERM)

        async with background_tasks(projector.run(), watchdog.run()) as tasks:
            for task in tasks:
                task.add_done_callback(ended)
            yield

    app = Starlette(
        routes=[
            *health_routes(missing),
            metrics_route(projector_registry(projector, watchdog)),
        ],
        lifespan=lifespan,
    )
    app.state.failure = None
    return app


def create_projector(settings: ProjectorSettings) -> Projector:
    read_model = ReadModel(
        settings.history_database,
        ReadModelLimits(
            database_seconds=settings.history_database_seconds,
            held_events=settings.projector_held_events,
        ),
    )
    return Projector(
        lambda positions_of: GroupReader(
            settings.brokers, settings.projector_topic, settings.projector_group, positions_of
        ),
        read_model,
        ProjectorLimits(
            records=settings.projector_records,
            join_seconds=settings.projector_join_seconds,
            read_seconds=settings.projector_read_seconds,
            hint_seconds=settings.projector_hint_seconds,
            pause_seconds=settings.projector_pause_seconds,
            pause_most_seconds=settings.projector_pause_most_seconds,
        ),
    )


def create_watchdog(settings: ProjectorSettings, projector: Projector) -> Watchdog:
    return Watchdog(
        LogEnds(
            settings.brokers, settings.projector_topic, seconds=settings.projector_ends_seconds
        ),
        ProjectionStatsReader(settings.history_database, seconds=settings.history_database_seconds),
        projector,
        WatchdogLimits(
            look_seconds=settings.projector_look_seconds,
            stuck_seconds=settings.projector_stuck_seconds,
        ),
    )


def _end_at_the_latest(stuck: ProjectorStalled) -> None:
    """What the projector hangs in may hold up the orderly end as well."""

    def end() -> None:
        print(stuck, file=sys.stderr, flush=True)
        os._exit(1)

    timer = threading.Timer(END_SECONDS, end)
    timer.daemon = True
    timer.start()
