"""What a read model that is away raises, and how that reads as an answer."""

import logging

import asyncpg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from parley_core.http.error_handlers import error_response
from parley_core.http.errors import Unavailable

log = logging.getLogger(__name__)

DATABASE_TROUBLE: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # What asyncpg may raise on a connection that was lost in the middle of something.
    asyncpg.InternalClientError,
)
"""What passes: the statements are known to be right, so it is the database that is not there."""


def install_database_trouble(app: Starlette) -> None:
    for trouble in DATABASE_TROUBLE:
        app.add_exception_handler(trouble, _on_trouble)


async def _on_trouble(request: Request, error: Exception) -> Response:
    # Its class alone: a database's sentence may quote a row.
    log.warning("the read model failed: %s", type(error).__name__)
    refused = Unavailable(
        "The history is not there right now; try again.", code="history_unavailable"
    )
    return error_response(request, refused)
