"""How a refused change of an assistant reads as an answer."""

from parley_core.http.errors import Conflict, Forbidden, NotFound, ParleyError
from parley_session.domain.assistant.errors import (
    AssistantAlreadyRetired,
    AssistantError,
    AssistantIdTaken,
    AssistantNotFound,
    AssistantShared,
)


def assistant_error_of(refusal: AssistantError) -> ParleyError:
    match refusal:
        case AssistantNotFound():
            return assistant_not_found()
        case AssistantIdTaken():
            return Conflict(
                "There is or was an assistant with this id: choose another.",
                code="assistant_id_taken",
                param="id",
            )
        case AssistantShared():
            return Forbidden(
                "This assistant is every tenant's: define one of your own.", code="assistant_shared"
            )
        case AssistantAlreadyRetired():
            return Conflict("This assistant was retired.", code="assistant_retired")
        case _:
            raise TypeError(f"{type(refusal).__name__} has no answer")


def assistant_not_found() -> NotFound:
    return NotFound(
        "There is no such assistant; GET /v1/assistants lists them.",
        code="assistant_not_found",
        param="assistant_id",
    )
