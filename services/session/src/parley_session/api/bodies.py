"""The bodies of session's routes, decoded strictly: what is not known here is refused."""

import re
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

import msgspec
from starlette.requests import Request

from parley_contracts.api_models import FinishReason
from parley_core.http.errors import InvalidRequest
from parley_events.values import Price, Usage
from parley_session.application.command_executor import Caller
from parley_session.application.idempotency import IdempotentRequest, keyed_request
from parley_session.domain.context_window import HeldWindow

Body = TypeVar("Body", bound=msgspec.Struct)

_LONGEST_PARAM = 256

# As much as a reader in any language, or a column of any database, can count.
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Version = Annotated[int, msgspec.Meta(ge=1)]
_Code = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
ModelName = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class SinceBody(msgspec.Struct, forbid_unknown_fields=True):
    """The window that the runner holds."""

    version: _Version
    budget: _Count
    message_id: UUID

    @property
    def window(self) -> HeldWindow:
        return HeldWindow(self.version, self.budget, self.message_id)


class ClaimBody(msgspec.Struct, forbid_unknown_fields=True):
    runner: UUID
    since: SinceBody | None = None
    budgets: dict[str, _Count] = {}


class UsageBody(msgspec.Struct, forbid_unknown_fields=True):
    prompt_tokens: _Count
    completion_tokens: _Count
    estimated: bool = False


class PriceBody(msgspec.Struct, forbid_unknown_fields=True):
    currency: Annotated[str, msgspec.Meta(min_length=1, max_length=16)]
    prompt: _Count
    completion: _Count


class ChargedBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    usage: UsageBody | None = None
    price: PriceBody | None = None

    def charged(self) -> dict[str, Any]:
        return {
            "usage": Usage(**msgspec.structs.asdict(self.usage)) if self.usage else None,
            "price": Price(**msgspec.structs.asdict(self.price)) if self.price else None,
        }


class CompletionBody(ChargedBody, forbid_unknown_fields=True, kw_only=True):
    id: UUID
    model: ModelName
    status: Literal["completed", "failed", "cut"]
    usage: UsageBody


class EndBody(ChargedBody, forbid_unknown_fields=True, kw_only=True):
    """`model` is the one that answered, where it was another than asked for."""

    runner: UUID
    model: ModelName | None = None


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


class PersonBody(msgspec.Struct, forbid_unknown_fields=True):
    tenant: str
    user: str


class SearchKeysBody(msgspec.Struct, forbid_unknown_fields=True):
    people: Annotated[list[PersonBody], msgspec.Meta(max_length=100)]


def explicit_fields(body: msgspec.Struct) -> dict[str, Any]:
    """The fields that are not absent, by name."""
    return {
        name: value
        for name, value in msgspec.structs.asdict(body).items()
        if value is not msgspec.UNSET
    }


async def body_of(request: Request, form: type[Body]) -> Body:
    """Raises InvalidRequest, which names the field and never its value."""
    try:
        return msgspec.json.decode(await request.body() or b"{}", type=form)
    except msgspec.ValidationError as error:
        raise InvalidRequest(_complaint(str(error)), param=_param(str(error))) from None
    except ValueError:
        raise InvalidRequest("The body is not valid JSON.") from None


async def keyed_body_of(
    request: Request, asker: Caller, form: type[Body]
) -> tuple[Body, IdempotentRequest | None]:
    """The body, and the request's Idempotency-Key where it has one."""
    body = await body_of(request, form)
    return body, keyed_for(request, asker, body)


def keyed_for(request: Request, asker: Caller, body: msgspec.Struct) -> IdempotentRequest | None:
    """The request's Idempotency-Key where it has one, for just this body."""
    key = request.headers.get("idempotency-key")
    return keyed_request(asker.person, request.method, request.url.path, key, body)


def _complaint(sentence: str) -> str:
    """What msgspec says, but for what it would quote of the body."""
    if sentence.startswith("Object contains unknown field"):
        return "This field is not known here."
    if sentence.startswith("Invalid enum value"):
        return "This value is not accepted."
    return f"{sentence}."


def _param(sentence: str) -> str | None:
    """The field that msgspec complains of."""
    field = re.search(r"field `([^`]*)`", sentence)
    place = re.search(r"(?:at|in) `\$\.?([^`]*)`$", sentence)
    found = ".".join(part[1] for part in (place, field) if part and part[1])
    return re.sub(r"\[(\d+)\]", r".\1", found)[:_LONGEST_PARAM] or None
