"""What clients send: its shape, its bounds, and the sentences that refuse what is otherwise."""

import asyncio
import re
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.requests import Request

from parley_core.errors import InvalidRequest, ParleyError, TooLarge
from parley_core.shapes import MESSAGE_BYTES
from parley_core.sse import END

IDEMPOTENCY_KEY = "idempotency-key"

_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_PLACE = re.compile(r"[0-9]{1,10}")
_MOST_PLACE = 2**31 - 1
_VISIBLE_KEY = re.compile(r"[!-~]{1,255}")


def _in_one_form(text: Any) -> Any:
    # Pydantic takes several; what has two spellings is compared wrongly somewhere.
    if isinstance(text, str) and not _UUID.fullmatch(text):
        raise ValueError
    return text


Id = Annotated[UUID, BeforeValidator(_in_one_form, json_schema_input_type=UUID)]
AssistantId = Annotated[str, Field(min_length=1, max_length=200, examples=["helper"])]
_MetadataKey = Annotated[str, Field(min_length=1, max_length=64)]
_MetadataValue = Annotated[str, Field(max_length=512)]


class RequestShape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    def to_json(self) -> bytes:
        """What the client gave, without what it left out."""
        return self.model_dump_json(exclude_unset=True).encode()


class StartSession(RequestShape):
    """Every field may be left out."""

    id: Id | None = Field(None, description="An id of your choice; taken or erased ones are 409.")
    assistant_id: AssistantId | None = Field(None, description="Left out: the default assistant.")
    title: str | None = Field(None, max_length=200, examples=["Holidays"])
    metadata: dict[_MetadataKey, _MetadataValue] | None = Field(
        None, max_length=16, examples=[{"topic": "travel"}]
    )


class SwitchAssistant(RequestShape):
    assistant_id: AssistantId


class SubmitMessage(RequestShape):
    content: str = Field(
        min_length=1,
        description=f"Up to {MESSAGE_BYTES} bytes of UTF-8.",
        examples=["Hello! My name is Ada."],
    )
    stream: bool = Field(False, description="Answer with server-sent events as the reply comes.")
    background: bool = Field(
        False, description="Answer at once, while the turn is running; not with `stream`."
    )


class HistoryQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    limit: int = Field(20, ge=1, le=100)
    order: Literal["desc", "asc"] = Field("desc", description="`desc` is newest first.")
    after: Id | None = Field(None, description="The last message of the page before.")
    before: Id | None = Field(None, description="The first message of the page after.")
    min_version: int | None = Field(
        None,
        ge=1,
        le=2**31 - 1,
        description="Wait up to 2 s until the session's history is at least at this version.",
    )


class ResumeQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    starting_after: int | None = Field(
        None,
        ge=0,
        le=_MOST_PLACE,
        description="The `id` of the last event that the client has. `Last-Event-ID` counts more.",
    )


Asked = TypeVar("Asked", bound=BaseModel)


class BodySlow(ParleyError):
    status, type, code = 408, "invalid_request_error", "request_timeout"


async def body_of(request: Request, shape: type[Asked], within: float) -> Asked:
    """The request's JSON body, whatever its content type says; an empty one is an empty object.

    Raises RequestValidationError, or BodySlow after `within` seconds.
    """
    try:
        async with asyncio.timeout(within):
            body = await request.body()
    except TimeoutError:
        raise BodySlow(
            f"The body was not sent within {within:g} seconds.", headers={"connection": "close"}
        ) from None
    try:
        return shape.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise _refusal(error, "body") from None


def history_query(request: Request) -> dict[str, str]:
    """The query as history gets it. Raises RequestValidationError, InvalidRequest."""
    asked = _query_of(request, HistoryQuery).model_dump(exclude_none=True)
    return {name: str(value) for name, value in asked.items()}


def place_to_resume_after(request: Request) -> int | Literal["end"] | None:
    """The id of the last event that the client has; None for none.

    An EventSource repeats its first URL and adds the header, which is the newer of the two.
    Raises RequestValidationError, InvalidRequest.
    """
    starting_after = _query_of(request, ResumeQuery).starting_after
    headers = request.headers.getlist("last-event-id")
    if not headers:
        return starting_after
    [last] = headers if len(headers) == 1 else [""]
    if last == END:
        return "end"
    if not _PLACE.fullmatch(last) or int(last) > _MOST_PLACE:
        raise InvalidRequest("This should be the id of an event.", param="Last-Event-ID")
    return int(last)


def _query_of(request: Request, shape: type[Asked]) -> Asked:
    given = request.query_params
    for name in given:
        if len(given.getlist(name)) > 1:
            raise InvalidRequest("This parameter is given twice.", param=name[:64])
    try:
        return shape.model_validate(dict(given))
    except ValidationError as error:
        raise _refusal(error, "query") from None


def path_id(request: Request, name: str) -> UUID:
    text = request.path_params[name]
    if not _UUID.fullmatch(text):
        raise InvalidRequest("This should be a UUID.", param=name)
    return UUID(text)


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


def check_size(content: str) -> None:
    """Raises TooLarge."""
    if len(content) > MESSAGE_BYTES or len(content.encode()) > MESSAGE_BYTES:
        raise TooLarge(
            f"A message has {MESSAGE_BYTES} bytes of UTF-8 at most.",
            code="message_too_large",
            param="content",
        )


def _refusal(error: ValidationError, place: str) -> RequestValidationError:
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    for problem in problems:
        problem["loc"] = (place, *problem["loc"])
        if problem["type"] == "value_error":
            problem["type"] = "uuid_parsing"  # The one validator that this file has.
    return RequestValidationError(problems)
