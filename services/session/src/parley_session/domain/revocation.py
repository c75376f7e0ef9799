"""Revocations of tokens: one, all of a user, or all of a tenant. Pure."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from parley_events.api_key import ApiKeyEvent, RevocationKind, TokensRevoked
from parley_events.uuid7 import uuid7_after
from parley_session.domain.session.event_builder import CommandMetadata


@dataclass(frozen=True, slots=True)
class Revocation:
    """One that was made. `id` is that of the event of its latest act, `revoked_at` by the clock of
    the database.
    """

    id: UUID
    tenant: str
    kind: RevocationKind
    target: str
    revoked_by: str
    revoked_at: datetime
    expires_at: datetime


def tokens_revoked_event(
    kind: RevocationKind,
    target: str,
    expires_at: datetime,
    metadata: CommandMetadata,
    stream_id: UUID | None,
) -> ApiKeyEvent:
    """In the tenant of the actor. The only event of its stream, whose id it has by default."""
    data = TokensRevoked(
        actor=metadata.actor,
        request_id=metadata.request_id,
        tenant=metadata.actor.tenant,
        kind=kind,
        target=target,
        expires_at=expires_at,
    )
    event_id = uuid7_after(None, metadata.now, metadata.randomness)
    return ApiKeyEvent(event_id, stream_id or event_id, 1, metadata.now, data)
