"""Bodies of the session routes: start, update, fork, switch, delete."""

from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from parley_contracts.session_api.limits import (
    MAX_METADATA_ENTRIES,
    MAX_METADATA_KEY_LENGTH,
    MAX_METADATA_VALUE_LENGTH,
)
from parley_contracts.session_api.requests import Request, Title

_MetadataKey = Annotated[str, Meta(min_length=1, max_length=MAX_METADATA_KEY_LENGTH)]
_MetadataValue = Annotated[str, Meta(max_length=MAX_METADATA_VALUE_LENGTH)]
Metadata = Annotated[dict[_MetadataKey, _MetadataValue], Meta(max_length=MAX_METADATA_ENTRIES)]


class StartSessionRequest(Request):
    """`POST /sessions`"""

    id: UUID | None = None
    assistant_id: str | None = None
    title: Title | None = None
    metadata: Metadata | None = None
    temporary: bool = False


class UpdateSessionRequest(Request):
    """`PATCH /sessions/{id}`; absent fields stay as they are, a null title removes the title."""

    title: Title | UnsetType | None = UNSET
    metadata: Metadata | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    legal_hold: bool | UnsetType = UNSET


class ForkSessionRequest(Request):
    """`POST /sessions/{id}/fork`; without `message_id` the newest branch is copied."""

    message_id: UUID | None = None
    id: UUID | None = None
    title: Title | None = None


class SwitchAssistantRequest(Request):
    """`POST /switch-assistant`"""

    assistant_id: str


class SwitchAssistantResponse(Struct, kw_only=True):
    """`session` is a `SessionShape`, `messages` are its last ones, oldest first."""

    object: Literal["assistant_switch"] = "assistant_switch"
    session: Raw
    created: bool
    messages: list[Raw]


class DeleteSessionResponse(Struct, kw_only=True):
    """`erase_at` is the end of the undelete window, as RFC 3339; null once erased."""

    object: Literal["session.deleted"] = "session.deleted"
    id: UUID
    erased: bool
    erase_at: str | None
    version: int


class DeleteSessionsResponse(Struct, kw_only=True):
    """`held` counts the sessions under a legal hold; `has_more` asks to repeat the call."""

    object: Literal["sessions.deleted"] = "sessions.deleted"
    erased: int
    held: int
    has_more: bool
