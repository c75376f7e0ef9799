"""The bodies of session's routes, decoded strictly: what is not known here is refused."""

import re
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
from starlette.requests import Request

from parley_core.errors import InvalidRequest
from parley_core.events import Price, Usage
from parley_core.shapes import FinishReason
from parley_session.executing import Asker
from parley_session.idempotency import KeyedRequest, keyed_request

Body = TypeVar("Body", bound=msgspec.Struct)

_Title = Annotated[str, msgspec.Meta(max_length=200)]
_Key = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Value = Annotated[str, msgspec.Meta(max_length=512)]
_Metadata = Annotated[dict[_Key, _Value], msgspec.Meta(max_length=16)]
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Version = Annotated[int, msgspec.Meta(ge=1)]
_Code = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class StartBody(msgspec.Struct, forbid_unknown_fields=True):
    id: UUID | None = None
    assistant_id: str | None = None
    title: _Title | None = None
    metadata: _Metadata | None = None


class SwitchBody(msgspec.Struct, forbid_unknown_fields=True):
    assistant_id: str


class SubmitBody(msgspec.Struct, forbid_unknown_fields=True):
    content: Annotated[str, msgspec.Meta(min_length=1)]


class ClaimBody(msgspec.Struct, forbid_unknown_fields=True):
    runner: UUID
    since: _Version | None = None


class EndBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    runner: UUID
    usage: dict[str, Any] | None = None
    price: dict[str, Any] | None = None

    def charged(self) -> dict[str, Any]:
        return {
            "usage": self.usage and Usage.model_validate(self.usage),
            "price": self.price and Price.model_validate(self.price),
        }


class CompleteBody(EndBody, forbid_unknown_fields=True, kw_only=True):
    content: str
    finish_reason: FinishReason
    first_token_ms: _Count
    total_ms: _Count


class FailBody(EndBody, forbid_unknown_fields=True, kw_only=True):
    code: _Code
    details: str | None = None
    partial_content: str | None = None


class HeartbeatBody(msgspec.Struct, forbid_unknown_fields=True):
    turns: Annotated[list[UUID], msgspec.Meta(max_length=10_000)]


class KeysBody(msgspec.Struct, forbid_unknown_fields=True):
    session_ids: Annotated[list[UUID], msgspec.Meta(max_length=100)]


async def body_of(request: Request, form: type[Body]) -> Body:
    """Raises InvalidRequest, which names the field and never its value."""
    try:
        return msgspec.json.decode(await request.body() or b"{}", type=form)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{error}.", param=_param(str(error))) from None
    except ValueError:
        raise InvalidRequest("The body is not valid JSON.") from None


async def keyed_body_of(
    request: Request, asker: Asker, form: type[Body]
) -> tuple[Body, KeyedRequest | None]:
    """The body, and the request's Idempotency-Key where it has one."""
    body = await body_of(request, form)
    key = request.headers.get("idempotency-key")
    return body, keyed_request(asker.person, request.method, request.url.path, key, body)


def _param(sentence: str) -> str | None:
    """The field that msgspec complains of."""
    place = re.search(r"at `\$\.?([^`]*)`", sentence)
    field = re.search(r"field `(\w+)`", sentence)
    return ".".join(found[1] for found in (place, field) if found and found[1]) or None
