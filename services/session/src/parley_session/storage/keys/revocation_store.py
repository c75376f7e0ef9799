"""Store of revoked tokens: one statement per change, with its event and the outbox."""

from collections.abc import Callable, Sequence
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from parley_core.storage.postgres_pool import Pool
from parley_core.tracing.spans import current_traceparent
from parley_events.api_key import ApiKeyEvent, TokensRevoked
from parley_events.audit import AuditData
from parley_events.cloudevents import encode_data
from parley_session.domain.revocation import Revocation
from parley_session.storage.keys.api_key_store import MAX_REVOCATIONS, RECENTLY_REVOKED_SECONDS

_DELETE_BATCH = 1_000

# A revocation again moves the time before which tokens are refused, and never shortens it.
_REVOKE = """
WITH changed AS (
    INSERT INTO revocations
        (id, tenant, kind, target, revoked_by, revoked_at, expires_at)
    SELECT $11, $5, $6, $7, $8, now(), $9
    WHERE NOT EXISTS (SELECT FROM api_key_events WHERE stream_id = $1) AND (
        $6 = 'tenant' OR (SELECT count(*) FROM revocations WHERE tenant = $5) < $10
        OR EXISTS (SELECT FROM revocations WHERE (tenant, kind, target) = ($5, $6, $7))
    )
    ON CONFLICT (tenant, kind, target) DO UPDATE SET id = excluded.id,
        revoked_by = excluded.revoked_by,
        revoked_at = greatest(revocations.revoked_at, excluded.revoked_at),
        expires_at = greatest(revocations.expires_at, excluded.expires_at)
    RETURNING *
), stored AS (
    INSERT INTO api_key_events (stream_id, sequence, id, type, time, data, traceparent)
    SELECT $1, 1, $11, $2, $3, $4::json, $12 FROM changed
), queued AS (
    INSERT INTO api_key_outbox (stream_id, sequence, bytes)
    SELECT $1, 1, octet_length($4::text) FROM changed
), audited AS (
    SELECT append_audit_record($13, $12) AS sequence FROM changed
)
SELECT id, tenant, kind, target, revoked_by, revoked_at, expires_at,
    (SELECT count(sequence) FROM audited)
FROM changed
"""
_FIND = """
SELECT id, tenant, kind, target, revoked_by, revoked_at, expires_at FROM revocations
WHERE {} LIMIT $1
"""
_EVENT = "SELECT id, time, data FROM api_key_events WHERE stream_id = $1"
_BY_ID = _FIND.format("id = $2")
_OF_TENANT = _FIND.format("tenant = $2 AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC")
_RECENT = _FIND.format("revoked_at > now() - make_interval(secs => $2) ORDER BY revoked_at DESC")
_ALL = _FIND.format("$2::uuid IS NULL OR id > $2 ORDER BY id")
# Gateways accept a token for 30 s after its expiry, and for 15 minutes the ticket of a stream that
# was signed for it. The revocation of a tenant also refuses its older API keys, which may have no
# end.
_DELETE_EXPIRED = """
DELETE FROM revocations WHERE (tenant, kind, target) IN (
    SELECT tenant, kind, target FROM revocations
    WHERE expires_at < now() - interval '20 minutes' AND kind <> 'tenant' LIMIT $1
)
"""


class RevocationStore:
    def __init__(self, pool: Pool, on_appended: Callable[[], None] = lambda: None) -> None:
        """`on_appended` is called after each commit of an event."""
        self._pool, self._on_appended = pool, on_appended

    async def revoke(
        self, event: ApiKeyEvent, audited: AuditData, *, max_revocations: int
    ) -> Revocation | None:
        """None if the stream exists, or the tenant has `max_revocations` of tokens and users."""
        data = event.data
        assert isinstance(data, TokensRevoked)
        row = await self._pool.fetchrow(
            _REVOKE,
            event.key_id,
            event.type,
            event.time,
            encode_data(data).decode(),
            data.tenant,
            data.kind,
            data.target,
            data.actor.user,
            data.expires_at,
            max_revocations,
            event.id,
            current_traceparent(),
            encode_data(audited).decode(),
        )
        if row is None:
            return None
        self._on_appended()
        return Revocation(*list(row)[:-1])

    async def find(self, stream_id: UUID) -> tuple[Revocation, Revocation] | None:
        """The revocation as the event of this stream made it, and as it is now."""
        row = await self._pool.fetchrow(_EVENT, stream_id)
        if row is None:
            return None
        data = TokensRevoked.model_validate_json(row["data"])
        who, times = data.actor.user, (row["time"], data.expires_at)
        made = Revocation(row["id"], data.tenant, data.kind, data.target, who, *times)
        latest = await self._pool.fetchrow(_BY_ID, 1, row["id"])
        return made, made if latest is None else Revocation(**latest)

    async def of_tenant(self, tenant: str, after: UUID | None, limit: int) -> list[Revocation]:
        """The latest first, following the one with the id `after`."""
        rows = await self._pool.fetch(_OF_TENANT, limit, tenant, after)
        return [Revocation(**row) for row in rows]

    async def recently_made(self) -> tuple[Sequence[Revocation], bool]:
        """Those of the last RECENTLY_REVOKED_SECONDS, and whether these are all of them."""
        rows = await self._pool.fetch(_RECENT, MAX_REVOCATIONS + 1, RECENTLY_REVOKED_SECONDS)
        return [Revocation(**row) for row in rows[:MAX_REVOCATIONS]], len(rows) <= MAX_REVOCATIONS

    async def all_after(self, after: UUID | None) -> Sequence[Revocation]:
        """A page of all tenants' by id; at most MAX_REVOCATIONS."""
        return [Revocation(**row) for row in await self._pool.fetch(_ALL, MAX_REVOCATIONS, after)]


async def delete_expired_revocations(
    connection: "PoolConnectionProxy[asyncpg.Record]",
) -> None:
    """Delete those that refuse no valid token any more, up to a bounded number."""
    await connection.execute(_DELETE_EXPIRED, _DELETE_BATCH)
