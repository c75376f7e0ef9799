"""What clients send is read here, and what is not as it should be is refused with a sentence."""

import asyncio
import re
from typing import Literal, TypeVar
from uuid import UUID

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from parley_contracts.session_api.limits import MAX_MESSAGE_BYTES
from parley_contracts.turn_sse import END
from parley_core.http.errors import InvalidRequest, ParleyError, TooLarge
from parley_core.http.service_client import IDEMPOTENCY_KEY
from parley_gateway.schemas.fields import (
    ASSISTANT_FORM,
    BAD_POINT,
    BAD_TIME,
    FUTURE_TIME,
    MOST_VERSION,
    UUID_FORM,
    QueryShape,
)
from parley_gateway.schemas.queries import ResumeQuery

_PLACE = re.compile(r"[0-9]{1,10}")
_VISIBLE_KEY = re.compile(r"[!-~]{1,255}")
_ASSISTANT = re.compile(ASSISTANT_FORM)
_LONGEST_PARAM = 256

Asked = TypeVar("Asked", bound=BaseModel)
AskedQuery = TypeVar("AskedQuery", bound=QueryShape)


class RequestBodyTimeout(ParleyError):
    status, type, code = 408, "invalid_request_error", "request_timeout"


async def body_of(request: Request, shape: type[Asked], within: float) -> Asked:
    """The request's JSON body, whatever its content type says; an empty one is an empty object.

    Raises RequestValidationError, InvalidRequest, or RequestBodyTimeout after `within` seconds.
    """
    try:
        async with asyncio.timeout(within):
            body = await request.body()
    except TimeoutError:
        raise RequestBodyTimeout(
            f"The body was not sent within {within:g} seconds.", headers={"connection": "close"}
        ) from None
    try:
        return shape.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise _refusal(error, "body") from None


def query_of(request: Request, shape: type[AskedQuery]) -> AskedQuery:
    """Raises RequestValidationError, InvalidRequest."""
    given = request.query_params
    for name in given:
        if len(given.getlist(name)) > 1:
            raise InvalidRequest("This parameter is given twice.", param=name[:64])
    if "after" in given and "before" in given:
        raise InvalidRequest("Give after or before, not both.", param="before")
    try:
        return shape.model_validate(dict(given))
    except ValidationError as error:
        raise _refusal(error, "query") from None


def place_to_resume_after(request: Request) -> int | Literal["end"] | None:
    """The id of the last event that the client has; None for none.

    An EventSource repeats its first URL and adds the header, which is the newer of the two.
    Raises RequestValidationError, InvalidRequest.
    """
    starting_after = query_of(request, ResumeQuery).starting_after
    headers = request.headers.getlist("last-event-id")
    if not headers:
        return starting_after
    [last] = headers if len(headers) == 1 else [""]
    if last == END:
        return "end"
    if not _PLACE.fullmatch(last) or int(last) > MOST_VERSION:
        raise InvalidRequest("This should be the id of an event.", param="Last-Event-ID")
    return int(last)


def path_id(request: Request, name: str) -> UUID:
    text = request.path_params[name]
    if not UUID_FORM.fullmatch(text):
        raise InvalidRequest("This should be a UUID.", param=name)
    return UUID(text)


def path_assistant(request: Request) -> str:
    text: str = request.path_params["assistant_id"]
    if not _ASSISTANT.fullmatch(text):
        raise InvalidRequest("This should be the id of an assistant.", param="assistant_id")
    return text


def idempotency_header(request: Request) -> dict[str, str]:
    """The header to pass on, if there is one. Raises InvalidRequest."""
    keys = request.headers.getlist(IDEMPOTENCY_KEY)
    if not keys:
        return {}
    if len(keys) > 1:
        raise InvalidRequest("This header is given twice.", param="Idempotency-Key")
    [key] = keys
    if not _VISIBLE_KEY.fullmatch(key):
        raise InvalidRequest(
            "An Idempotency-Key has 1 to 255 visible ASCII characters.", param="Idempotency-Key"
        )
    return {IDEMPOTENCY_KEY: key}


def check_size(content: str, param: str = "content") -> None:
    """Raises TooLarge."""
    if len(content) > MAX_MESSAGE_BYTES or len(content.encode()) > MAX_MESSAGE_BYTES:
        raise TooLarge(
            f"A message has {MAX_MESSAGE_BYTES} bytes of UTF-8 at most.",
            code="message_too_large",
            param=param,
        )


def check_any(asked: BaseModel) -> None:
    """Raises InvalidRequest when no field is given."""
    if not asked.model_fields_set:
        raise InvalidRequest("Give at least one field to change.")


def _refusal(error: ValidationError, place: str) -> RequestValidationError | InvalidRequest:
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    first = problems[0]
    if first["type"] in (BAD_TIME, FUTURE_TIME, BAD_POINT):
        param = ".".join(str(part) for part in first["loc"])
        return InvalidRequest(first["msg"], param=param[:_LONGEST_PARAM])
    for problem in problems:
        problem["loc"] = (place, *problem["loc"])
        if problem["type"] == "value_error":
            problem["type"] = "uuid_parsing"  # The one other validator that fields have.
    return RequestValidationError(problems)
