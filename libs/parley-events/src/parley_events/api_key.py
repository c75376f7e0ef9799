"""Event types of the `api_key` stream: credentials of people's programs, and revoked tokens.

Each API key has a stream. Its events have neither the secret nor its digest, nor the name that its
owner gave it: nothing is sealed. Each revocation of tokens is a stream of one event.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal, get_args
from uuid import UUID

from parley_events.session import UnknownEvent
from parley_events.values import Actor, Count, Instant, MicroUnits, Name, Value

RevocationKind = Literal["token", "user", "tenant"]


class ApiKeyEventData(Value):
    """Fields common to all events of API keys; `tenant` and `owner` are whom the key acts for."""

    TYPE: ClassVar[str]

    actor: Actor
    request_id: Name
    tenant: Name
    owner: Name


class ApiKeyLimits(Value):
    """Limits of one key; costs are in micro-units of the currency of the prices."""

    requests_per_minute: Count | None = None
    turns_per_minute: Count | None = None
    open_turns: Count | None = None
    open_streams: Count | None = None
    tokens_per_minute: MicroUnits | None = None
    tokens_per_day: MicroUnits | None = None
    cost_per_day: MicroUnits | None = None
    cost_per_month: MicroUnits | None = None


class ApiKeyCreated(ApiKeyEventData):
    """A key was created, with some of its owner's scopes; without `models`, it may use them all.

    Always the first event of its stream.
    """

    TYPE = "parley.api_key.api_key_created.v1"

    scopes: Sequence[Name]
    models: Sequence[Name] | None = None
    expires_at: Instant | None = None
    limits: ApiKeyLimits | None = None


class ApiKeyRevoked(ApiKeyEventData):
    """The key is refused from now on. Always the last event of its stream."""

    TYPE = "parley.api_key.api_key_revoked.v1"


class TokensRevoked(Value):
    """Tokens of a tenant are refused from now on: that with the `target` as its `jti`, or all that
    were issued before to the user, or in the tenant, `target`. Always alone in its stream.
    """

    TYPE: ClassVar[str] = "parley.api_key.tokens_revoked.v1"

    actor: Actor
    request_id: Name
    tenant: Name
    kind: RevocationKind
    target: Name
    expires_at: Instant


KnownApiKeyData = ApiKeyCreated | ApiKeyRevoked | TokensRevoked

API_KEY_DATA_BY_TYPE: dict[str, type[KnownApiKeyData]] = {
    data.TYPE: data for data in get_args(KnownApiKeyData)
}


@dataclass(frozen=True, slots=True)
class ApiKeyEvent:
    """One event at its position in a key's stream.

    `sequence` counts from 1 without a gap; `id` is a UUIDv7 and `time` is in UTC, and both increase
    along the stream.
    """

    id: UUID
    key_id: UUID
    sequence: int
    time: datetime
    data: KnownApiKeyData | UnknownEvent

    @property
    def type(self) -> str:
        return self.data.type if isinstance(self.data, UnknownEvent) else self.data.TYPE
