"""Maps domain errors, database failures and keys that cannot be unwrapped to error responses."""

import logging

from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from parley_core.crypto.master_keys import KeyUnavailable
from parley_core.http.error_handlers import error_response
from parley_core.http.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    ParleyError,
    Unavailable,
)
from parley_session.domain.api_key_state import ApiKeyNotFound
from parley_session.domain.assistant.errors import (
    AssistantAlreadyRetired,
    AssistantIdTaken,
    AssistantNotFound,
    AssistantShared,
)
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
from parley_session.key_management.key_wrapper import KeyServiceUnavailable
from parley_session.storage.database_errors import DATABASE_UNAVAILABLE

# A master key comes back with a change of settings, which processes notice within 10 s.
_KEY_RETRY_SECONDS = 10

log = logging.getLogger(__name__)


def install_domain_error_handlers(app: Starlette) -> None:
    app.add_exception_handler(DomainError, _on_domain_error)
    for error_type in DATABASE_UNAVAILABLE:
        app.add_exception_handler(error_type, _on_database_unavailable)


def install_key_error_handlers(app: Starlette, registry: CollectorRegistry) -> None:
    app.add_exception_handler(KeyUnavailable, _KeyErrors(registry).respond)


def http_error_of(error: DomainError) -> ParleyError:
    match error:
        case SessionNotFound():
            return NotFound("Session not found.", code="session_not_found")
        case TurnNotFound():
            return NotFound("Turn not found.", code="turn_not_found")
        case SessionIdUnavailable():
            return Conflict(
                "This id is in use. Choose another one.", code="session_id_unavailable", param="id"
            )
        case TurnOpen(turn_id=turn_id):
            return Conflict(
                f"Turn {turn_id} of this session is still running. Wait until it has ended, "
                "cancel it, or send the request with `on_open_turn: interrupt`.",
                code="turn_open",
            )
        case TurnAlreadyEnded(status=status):
            return Conflict(f"The turn has ended with status {status}.", code="turn_ended")
        case ParentNotFound():
            return InvalidRequest(
                "The session has no message with this id.", param="parent_message_id"
            )
        case MessageNotFound():
            return InvalidRequest(
                "The session has no message with this id that the request can refer to.",
                param="message_id",
            )
        case NotDeleted():
            return Conflict("The session is not deleted.", code="not_deleted")
        case LegalHold():
            return Conflict(
                "The session is under a legal hold and cannot be erased.", code="legal_hold"
            )
        case ApiKeyNotFound():
            return NotFound(
                "API key not found. GET /v1/api-keys lists yours.",
                code="api_key_not_found",
                param="key_id",
            )
        case IdTaken():
            return Conflict("This id is in use.", code="id_taken")
        case AssistantNotFound():
            return NotFound(
                "Assistant not found. GET /v1/assistants lists all of them.",
                code="assistant_not_found",
                param="assistant_id",
            )
        case AssistantIdTaken():
            return Conflict(
                "An assistant with this id exists or existed. Choose another id.",
                code="assistant_id_taken",
                param="id",
            )
        case AssistantShared():
            return Forbidden(
                "This assistant is shared by all tenants. Define your own.",
                code="assistant_shared",
            )
        case AssistantAlreadyRetired():
            return Conflict("The assistant is retired.", code="assistant_retired")
        case _:
            raise TypeError(f"{type(error).__name__} is not mapped to an HTTP error")


async def _on_domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DomainError)
    return error_response(request, http_error_of(error))


async def _on_database_unavailable(request: Request, error: Exception) -> Response:
    # The class alone: a message of the database may quote a row.
    log.warning("the event store failed: %s", type(error).__name__)
    unavailable = Unavailable(
        "The event store is temporarily unavailable. Please retry.", code="event_store_unavailable"
    )
    return error_response(request, unavailable)


class _KeyErrors:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._refused = Counter(
            "parley_session_key_unavailable",
            "Requests refused, because a key needs a master key that this process does not have, "
            "has with other bytes, or cannot reach.",
            ["master_key"],
            registry=registry,
        )
        self._logged: set[str] = set()

    async def respond(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, KeyUnavailable)
        self._refused.labels(error.key_id).inc()
        retry_after_seconds = _KEY_RETRY_SECONDS
        if isinstance(error, KeyServiceUnavailable):
            # Its client logs the outage, once.
            retry_after_seconds = error.retry_after_seconds
        elif error.key_id not in self._logged:
            # Once: a retired key may be needed for many requests.
            self._logged.add(error.key_id)
            log.error("a stored key cannot be unwrapped: %s", error)
        unavailable = Unavailable(
            "The key of this content is unavailable at the moment; nothing is lost. Please retry "
            "later.",
            code="key_unavailable",
            retry_after_seconds=retry_after_seconds,
        )
        return error_response(request, unavailable)
