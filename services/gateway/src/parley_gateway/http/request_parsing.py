"""FastAPI dependencies that read requests: JSON body, idempotency key, path and query parameters.

Bodies are read after authentication and parsed by pydantic from the bytes: FastAPI's own body
parameters are read before any dependency runs, and decode the JSON twice.
"""

import asyncio
import re
from json import JSONDecoder
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Header, Path
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, TypeAdapter, ValidationError, WithJsonSchema
from starlette.requests import Request

from parley_contracts.session_api.limits import MAX_MESSAGE_BYTES
from parley_core.http.errors import InvalidRequest, ParleyError, TooLarge
from parley_core.http.service_client import IDEMPOTENCY_KEY
from parley_gateway.http.json_size import check_json_size
from parley_gateway.schemas.fields import ASSISTANT_ID_REGEX, Id

# A client that sends slower than this holds a connection and its memory for too long.
BODY_TIMEOUT_SECONDS = 30.0
# Counting the values of a longer body and parsing it takes milliseconds: 10 for one of 4 MiB.
_LONG_BODY_BYTES = 1024 * 1024

_JSON_DECODER = JSONDecoder()
_VISIBLE_KEY = re.compile(r"[!-~]{1,255}")

Model = TypeVar("Model", bound=BaseModel)

SessionId = Annotated[Id, Path()]
TurnId = Annotated[Id, Path()]
PathAssistantId = Annotated[str, Path(pattern=ASSISTANT_ID_REGEX)]


class RequestBodyTimeout(ParleyError):
    status, type, code = 408, "invalid_request_error", "request_timeout"


class JSONBody(Generic[Model]):
    """Dependency: the JSON body, whatever its content type; an empty body is an empty object.

    Raises RequestValidationError, InvalidRequest or RequestBodyTimeout.
    """

    def __init__(self, model: type[Model]) -> None:
        self.model = model

    async def __call__(self, request: Request) -> Model:
        body = await _read_body(request)
        check_json_size(body)
        try:
            parsed = self.model.model_validate_json(body or b"{}")
        except ValidationError as error:
            raise _invalid(error, "body") from None
        if len(body) > _LONG_BODY_BYTES:
            # Let other requests run before the handler, which encodes as much again.
            await asyncio.sleep(0)
        return parsed


class ForwardedBody:
    """Dependency: the bytes of a JSON body that a service validates; `model` documents it.

    Raises InvalidRequest for over `max_values` JSON values, or RequestBodyTimeout.
    """

    def __init__(self, model: type[BaseModel], *, max_values: int) -> None:
        self.model, self._max_values = model, max_values

    async def __call__(self, request: Request) -> bytes:
        body = await _read_body(request)
        check_json_size(body, self._max_values)
        return body


async def _read_body(request: Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            return await request.body()
    except TimeoutError:
        raise RequestBodyTimeout(
            f"The body was not received within {BODY_TIMEOUT_SECONDS:g} seconds.",
            headers={"connection": "close"},
        ) from None


async def idempotency_headers(
    idempotency_key: Annotated[
        list[str] | None,
        Header(
            alias="Idempotency-Key",
            description="At most 255 visible ASCII characters, remembered for 24 hours: the same "
            "request with the same key returns the first response and has no further effect.",
        ),
        WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}),
    ] = None,
) -> dict[str, str]:
    """The header to forward, if any. Raises InvalidRequest."""
    if not idempotency_key:
        return {}
    if len(idempotency_key) > 1:
        raise InvalidRequest("This header is given twice.", param="Idempotency-Key")
    [key] = idempotency_key
    if not _VISIBLE_KEY.fullmatch(key):
        raise InvalidRequest(
            "An Idempotency-Key has 1 to 255 visible ASCII characters.", param="Idempotency-Key"
        )
    return {IDEMPOTENCY_KEY: key}


IdempotencyHeaders = Annotated[dict[str, str], Depends(idempotency_headers)]


async def reject_repeated_parameters(request: Request) -> None:
    """Raises InvalidRequest when a query parameter is given twice."""
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name in seen:
            raise InvalidRequest("This parameter is given twice.", param=name[:64])
        seen.add(name)


STRICT_QUERY = Depends(reject_repeated_parameters)

_ID: TypeAdapter[UUID] = TypeAdapter(Id)


def parse_path_id(request: Request, name: str) -> UUID:
    """For routes that parse their parameters themselves. Raises RequestValidationError."""
    try:
        return _ID.validate_python(request.path_params[name])
    except ValidationError as error:
        raise _invalid(error, "path", name) from None


async def parse_query(request: Request, model: type[Model]) -> Model:
    """For routes that parse their parameters themselves.

    Raises InvalidRequest, RequestValidationError.
    """
    await reject_repeated_parameters(request)
    try:
        return model.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise _invalid(error, "query") from None


def _invalid(error: ValidationError, *location: str) -> RequestValidationError:
    """Holds the first problem alone."""
    # A body may have 15,000 unknown keys. As text, the list of problems takes 4 ms, as objects 30.
    problems = error.json(include_input=False, include_url=False, include_context=False)
    first, _ = _JSON_DECODER.raw_decode(problems, len("["))
    first["loc"] = (*location, *first["loc"])
    return RequestValidationError([first])


def check_size(content: str, param: str = "content") -> None:
    """Raises TooLarge."""
    if len(content) > MAX_MESSAGE_BYTES or len(content.encode()) > MAX_MESSAGE_BYTES:
        raise TooLarge(
            f"A message has at most {MAX_MESSAGE_BYTES} bytes of UTF-8.",
            code="message_too_large",
            param=param,
        )


def check_not_empty(body: BaseModel) -> None:
    """Raises InvalidRequest when no field is given."""
    if not body.model_fields_set:
        raise InvalidRequest("Give at least one field to change.")
