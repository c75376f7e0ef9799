"""The bodies of the routes of whole sessions and their messages."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from parley_session.api.bodies import ChargedBody, ModelName
from parley_session.domain.session.state import Role

_Title = Annotated[str, msgspec.Meta(max_length=200)]
_Key = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Value = Annotated[str, msgspec.Meta(max_length=512)]
_Metadata = Annotated[dict[_Key, _Value], msgspec.Meta(max_length=16)]
_Content = Annotated[str, msgspec.Meta(min_length=1)]
_Summary = Annotated[str, msgspec.Meta(min_length=1, max_length=262_144)]
_Tokens = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


# Of the bodies that an Idempotency-Key stands for, what is absent is left out of the fingerprint: a
# version that knows more fields must know the same request again.
class StartBody(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    id: UUID | None = None
    assistant_id: str | None = None
    title: _Title | None = None
    metadata: _Metadata | None = None
    temporary: bool = False


class ForkBody(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    message_id: UUID | None = None
    id: UUID | None = None
    title: _Title | None = None


class SwitchBody(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    assistant_id: str


class SubmitBody(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A parent of null makes it a first message; without the field it follows the newest one.

    One that may `attach` is a try of a request that has no key.
    """

    content: _Content
    parent_message_id: UUID | UnsetType | None = UNSET
    preceding: Annotated[list[_Content], msgspec.Meta(max_length=20)] = []
    model: ModelName | None = None
    attach: bool = False


class RegenerateBody(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    message_id: UUID | None = None


class ChangeBody(msgspec.Struct, forbid_unknown_fields=True):
    title: _Title | UnsetType | None = UNSET
    metadata: _Metadata | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    legal_hold: bool | UnsetType = UNSET


class ImportedMessageBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    id: UUID | None = None
    role: Role
    content: _Content
    created_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class ImportBody(msgspec.Struct, forbid_unknown_fields=True):
    messages: Annotated[list[ImportedMessageBody], msgspec.Meta(min_length=1, max_length=1_000)]


class TitleBody(ChargedBody, forbid_unknown_fields=True, kw_only=True):
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    model: ModelName


class CompactionBody(ChargedBody, forbid_unknown_fields=True, kw_only=True):
    up_to_message_id: UUID
    summary: _Summary
    model: ModelName
    tokens: _Tokens | None = None
