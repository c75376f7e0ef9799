"""Errors of an unavailable database, and their HTTP response: 503 `history_unavailable`."""

import logging

import asyncpg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from parley_core.http.error_handlers import error_response
from parley_core.http.errors import Unavailable

log = logging.getLogger(__name__)

DATABASE_ERRORS: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # asyncpg may raise it on a connection that was lost in the middle of a protocol exchange.
    asyncpg.InternalClientError,
)
"""Transient errors: the statements are known to be valid, so the database is unavailable."""


def install_database_error_handlers(app: Starlette) -> None:
    for error in DATABASE_ERRORS:
        app.add_exception_handler(error, _service_unavailable)


async def _service_unavailable(request: Request, error: Exception) -> Response:
    # Only the class: the message of a database error may quote a row.
    log.warning("read model unavailable: %s", type(error).__name__)
    unavailable = Unavailable(
        "History is temporarily unavailable. Please retry.", code="history_unavailable"
    )
    return error_response(request, unavailable)
