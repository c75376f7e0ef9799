"""How a refusal of the domain, or a store that is away, reads as an answer."""

import logging

import asyncpg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from parley_core.http.error_handlers import error_response
from parley_core.http.errors import Conflict, InvalidRequest, NotFound, ParleyError, Unavailable
from parley_session.api.assistant_refusing import assistant_error_of
from parley_session.domain.assistant.errors import AssistantError
from parley_session.domain.session.errors import (
    DomainError,
    IdTaken,
    LegalHold,
    MessageNotFound,
    NotDeleted,
    ParentNotFound,
    SessionIdUnavailable,
    SessionNotFound,
    TurnAlreadyEnded,
    TurnNotFound,
    TurnOpen,
)

log = logging.getLogger(__name__)

STORE_TROUBLE: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    # On a connection that was lost a moment ago.
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    # A standby answers so until it has taken over.
    asyncpg.ReadOnlySQLTransactionError,
)


def install_refusals(app: Starlette) -> None:
    app.add_exception_handler(DomainError, _on_refusal)
    for trouble in STORE_TROUBLE:
        app.add_exception_handler(trouble, _on_store_trouble)


def error_of(refusal: DomainError) -> ParleyError:
    match refusal:
        case SessionNotFound():
            return NotFound("There is no such session.", code="session_not_found")
        case TurnNotFound():
            return NotFound("There is no such turn.", code="turn_not_found")
        case SessionIdUnavailable():
            return Conflict(
                "This session id was used before: choose another.",
                code="session_id_unavailable",
                param="id",
            )
        case TurnOpen(turn_id=turn_id):
            return Conflict(
                f"The session is still answering another message (turn {turn_id}): "
                "wait for its end.",
                code="turn_open",
            )
        case TurnAlreadyEnded(status=status):
            return Conflict(f"The turn has {status}.", code="turn_ended")
        case ParentNotFound():
            return InvalidRequest(
                "There is no such message in this session.", param="parent_message_id"
            )
        case MessageNotFound():
            return InvalidRequest(
                "There is no such message in this session that this could be done with.",
                param="message_id",
            )
        case NotDeleted():
            return Conflict("This session is not deleted.", code="not_deleted")
        case LegalHold():
            return Conflict(
                "A legal hold keeps this session: it cannot be erased.", code="legal_hold"
            )
        case IdTaken():
            return Conflict("This id is taken.", code="id_taken")
        case AssistantError():
            return assistant_error_of(refusal)
        case _:
            raise TypeError(f"{type(refusal).__name__} has no answer")


async def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, DomainError)
    return error_response(request, error_of(error))


async def _on_store_trouble(request: Request, error: Exception) -> Response:
    # Its class alone: a database's sentence may quote a row.
    log.warning("the event store failed: %s", type(error).__name__)
    refused = Unavailable(
        "The event store is not there right now; try again.", code="event_store_unavailable"
    )
    return error_response(request, refused)
