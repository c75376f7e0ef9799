"""API keys: what one is, and the events of its creation and revocation. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID

from parley_events.api_key import ApiKeyCreated, ApiKeyEvent, ApiKeyLimits, ApiKeyRevoked
from parley_events.uuid7 import uuid7_after
from parley_session.domain.session.errors import DomainError
from parley_session.domain.session.event_builder import CommandMetadata


class ApiKeyNotFound(DomainError):
    """The key is unknown, revoked, or another person's: all look the same."""


@dataclass(frozen=True, slots=True)
class ApiKeyDefinition:
    """What the owner chose; `models` is None for all. `limits` are by name."""

    name: str
    scopes: Sequence[str]
    models: Sequence[str] | None
    expires_at: datetime | None
    limits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApiKeyState:
    """A key as it stands."""

    id: UUID
    tenant: str
    owner: str
    definition: ApiKeyDefinition
    secret_digest: bytes
    created_at: datetime
    last_used_on: date | None
    revoked: bool


def created_event(
    key_id: UUID, definition: ApiKeyDefinition, metadata: CommandMetadata
) -> ApiKeyEvent:
    """The key of the actor."""
    data = ApiKeyCreated(
        actor=metadata.actor,
        request_id=metadata.request_id,
        tenant=metadata.actor.tenant,
        owner=metadata.actor.user,
        scopes=definition.scopes,
        models=definition.models,
        expires_at=definition.expires_at,
        limits=ApiKeyLimits(**definition.limits) if definition.limits else None,
    )
    event_id = uuid7_after(None, metadata.now, metadata.randomness)
    return ApiKeyEvent(event_id, key_id, 1, metadata.now, data)


def revoked_event(key: ApiKeyState, metadata: CommandMetadata) -> ApiKeyEvent:
    data = ApiKeyRevoked(
        actor=metadata.actor,
        request_id=metadata.request_id,
        tenant=key.tenant,
        owner=key.owner,
    )
    # Event times must not decrease when the clock was set back.
    time = max(key.created_at, metadata.now)
    # Nor must ids: those count in whole milliseconds.
    id_time = max(key.created_at + timedelta(milliseconds=2), time)
    event_id = uuid7_after(None, id_time, metadata.randomness)
    return ApiKeyEvent(event_id, key.id, 2, time, data)
