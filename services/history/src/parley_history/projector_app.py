"""The one place where `project` is put together: the projector, and the health that it shows."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from parley_core.log import GroupReader
from parley_history.api import health_routes
from parley_history.projector import Projector, ProjectorLimits
from parley_history.read_model import ReadModel, ReadModelLimits
from parley_history.settings import ProjectorSettings


def create_projector_app(settings: ProjectorSettings) -> Starlette:
    """The application; `app.state.failure` is what ended the projector, if anything did."""
    projector = create_projector(settings)

    async def missing() -> Sequence[str]:
        return projector.missing

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        projecting = asyncio.create_task(projector.run())

        def ended(_: asyncio.Task[None]) -> None:
            if not projecting.cancelled():
                app.state.failure = projecting.exception()
                # The orderly end of the whole process: without its projector it is no use.
                signal.raise_signal(signal.SIGTERM)

        projecting.add_done_callback(ended)
        try:
            yield
        finally:
            projecting.cancel()
            await asyncio.gather(projecting, return_exceptions=True)

    app = Starlette(routes=health_routes(missing), lifespan=lifespan)
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
