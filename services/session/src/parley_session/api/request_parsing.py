"""Decodes request bodies strictly: an unknown field or a bad value is a 400 that names it."""

import re
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from parley_contracts.session_api.imports import BadRecord, ImportedMessage
from parley_contracts.session_api.requests import BilledRequest
from parley_core.auth.caller import Caller
from parley_core.http.errors import InvalidRequest
from parley_events.values import Price, Usage
from parley_session.application.idempotency import IdempotentRequest, idempotent_request
from parley_session.application.sessions.imported_records import GivenRecord

Body = TypeVar("Body", bound=msgspec.Struct)

DECODE_ERRORS = (ValueError, RecursionError)
"""Errors of msgspec for a body that it does not decode; the latter for one nested too deeply."""

_MAX_PARAM_LENGTH = 256
_decode_record = msgspec.json.Decoder(ImportedMessage).decode


async def decode_body(request: Request, body_type: type[Body]) -> Body:
    """Raises InvalidRequest, which names the field and never quotes its value."""
    try:
        return msgspec.json.decode(await request.body() or b"{}", type=body_type)
    except DECODE_ERRORS as error:
        message, field = describe(error)
        raise InvalidRequest(message, param=field) from None


def describe(error: Exception) -> tuple[str, str | None]:
    """What is wrong with a body that msgspec does not decode, and the field, if it is one."""
    if not isinstance(error, msgspec.ValidationError):
        return "The body is not valid JSON.", None
    return _message(str(error)), _param(str(error))


async def decode_idempotent_body(
    request: Request, caller: Caller, body_type: type[Body]
) -> tuple[Body, IdempotentRequest | None]:
    """The body, and the idempotent request if it carries an Idempotency-Key."""
    body = await decode_body(request, body_type)
    return body, idempotent_request_of(request, caller, body)


def idempotent_request_of(
    request: Request, caller: Caller, body: msgspec.Struct
) -> IdempotentRequest | None:
    """None without an Idempotency-Key; `body` is what the fingerprint is taken of."""
    key = request.headers.get("idempotency-key")
    return idempotent_request(caller.principal, request.method, request.url.path, key, body)


def explicit_fields(body: msgspec.Struct) -> dict[str, Any]:
    """The fields that the request set, by name; null counts as set."""
    return {
        name: value
        for name, value in msgspec.structs.asdict(body).items()
        if value is not msgspec.UNSET
    }


def usage_and_price(body: BilledRequest) -> dict[str, Any]:
    """As keyword arguments of a command."""
    usage: Usage | None = body.usage.to_usage() if body.usage else None
    price: Price | None = body.price.to_price() if body.price else None
    return {"usage": usage, "price": price}


def decode_records(raw: Sequence[msgspec.Raw]) -> list[GivenRecord]:
    """Decodes those of an import one by one, so that a bad one does not hide the others."""
    return [_record(index, each) for index, each in enumerate(raw)]


def _record(index: int, raw: msgspec.Raw) -> GivenRecord:
    try:
        return _decode_record(raw)
    except DECODE_ERRORS as error:
        message, field = describe(error)
        param = ".".join(filter(None, ("messages", str(index), field)))
        return BadRecord(index, param, "invalid_request", message)


def _message(error: str) -> str:
    """msgspec's message, unless it quotes the body."""
    if error.startswith("Object contains unknown field"):
        return "Unknown field."
    if error.startswith("Invalid enum value"):
        return "Value not accepted."
    return f"{error}."


def _param(error: str) -> str | None:
    """The path of the field that msgspec's message names."""
    field = re.search(r"field `([^`]*)`", error)
    path = re.search(r"(?:at|in) `\$\.?([^`]*)`$", error)
    found = ".".join(part[1] for part in (path, field) if part and part[1])
    return re.sub(r"\[(\d+)\]", r".\1", found)[:_MAX_PARAM_LENGTH] or None
