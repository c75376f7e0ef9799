"""Store of API keys: one statement per change, with its event and the outbox."""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

import asyncpg
import msgspec

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_core.tracing.spans import current_traceparent
from parley_events.api_key import ApiKeyEvent
from parley_events.audit import AuditData
from parley_events.cloudevents import encode_data
from parley_session.domain.api_key_state import ApiKeyDefinition, ApiKeyState

# Far longer than a statement may take from its start to its commit, and than the gateways' polls
# are apart: a gateway that has polled sees every revocation.
RECENTLY_REVOKED_SECONDS = 120
MAX_REVOCATIONS = 1_000

# Limits never change, so that the first event has them.
_SELECT = """
SELECT api_keys.*, (
    SELECT data ->> 'limits' FROM api_key_events
    WHERE api_key_events.stream_id = api_keys.stream_id AND api_key_events.sequence = 1
) AS limits
FROM api_keys
"""
_BY_ID = _SELECT + "WHERE stream_id = $1"
_OF_PERSON = (
    _SELECT
    + """
WHERE tenant = $1 AND owner = $2 AND revoked_at IS NULL ORDER BY created_at DESC, stream_id
"""
)
_VALID = (
    _SELECT
    + """
WHERE stream_id = ANY ($1) AND api_keys.revoked_at IS NULL
    AND (expires_at IS NULL OR expires_at > now())
    AND NOT EXISTS (
        SELECT FROM revocations
        WHERE (revocations.tenant, kind) = (api_keys.tenant, 'tenant')
            AND revocations.revoked_at >= api_keys.created_at
    )
"""
)

_APPEND = """
WITH changed AS ({}), stored AS (
    INSERT INTO api_key_events (stream_id, sequence, id, type, time, data, traceparent)
    SELECT $1, $2, $3, $4, $5, $6::json, $7 FROM changed
), queued AS (
    INSERT INTO api_key_outbox (stream_id, sequence, bytes)
    SELECT $1, $2, octet_length($6::text) FROM changed
), audited AS (
    SELECT append_audit_record($8, $7) AS sequence FROM changed
)
SELECT EXISTS (SELECT FROM changed), (SELECT count(sequence) FROM audited)
"""
_CREATE = _APPEND.format(
    """
    INSERT INTO api_keys (stream_id, sequence, created_at, tenant, owner, name, secret_digest,
        scopes, models, expires_at)
    SELECT $1, $2, $5, $9, $10, $11, $12, $13, $14, $15
    WHERE (
        SELECT count(*) FROM api_keys WHERE tenant = $9 AND owner = $10
            AND (revoked_at IS NULL OR revoked_at > now() - interval '1 day')
    ) < $16
    ON CONFLICT DO NOTHING
    RETURNING stream_id
"""
)
_REVOKE = _APPEND.format(
    """
    UPDATE api_keys SET revoked_at = now(), sequence = $2
    WHERE stream_id = $1 AND sequence = $2 - 1
    RETURNING stream_id
"""
)
_MARK_USED = """
UPDATE api_keys SET last_used_on = (now() AT TIME ZONE 'UTC')::date
WHERE stream_id = ANY ($1) AND last_used_on IS DISTINCT FROM (now() AT TIME ZONE 'UTC')::date
"""
_RECENTLY_REVOKED = """
SELECT stream_id FROM api_keys WHERE revoked_at > now() - make_interval(secs => $1) LIMIT $2
"""


_decode_limits = msgspec.json.Decoder(dict[str, int]).decode


class ApiKeyStore:
    def __init__(self, pool: Pool, on_appended: Callable[[], None] = lambda: None) -> None:
        """`on_appended` is called after each commit of an event."""
        self._pool, self._on_appended = pool, on_appended

    async def create(
        self,
        event: ApiKeyEvent,
        owner: Principal,
        definition: ApiKeyDefinition,
        secret_digest: bytes,
        audited: AuditData,
        *,
        max_keys: int,
    ) -> bool:
        """False if the id is taken, or the person has `max_keys` keys already, counting those that
        were revoked within a day.
        """
        return await self._append(
            _CREATE,
            event,
            audited,
            owner.tenant,
            owner.user,
            definition.name,
            secret_digest,
            [*definition.scopes],
            None if definition.models is None else [*definition.models],
            definition.expires_at,
            max_keys,
        )

    async def revoke(self, event: ApiKeyEvent, audited: AuditData) -> None:
        """Does nothing if the key was revoked meanwhile."""
        await self._append(_REVOKE, event, audited)

    async def find(self, key_id: UUID) -> ApiKeyState | None:
        """The key, revoked or not."""
        row = await self._pool.fetchrow(_BY_ID, key_id)
        return None if row is None else _state_of(row)

    async def limits_of(self, key_id: UUID) -> Mapping[str, int]:
        """Of a key that may be revoked; none of an unknown one."""
        key = await self.find(key_id)
        return key.definition.limits if key else {}

    async def keys_of(self, person: Principal) -> Sequence[ApiKeyState]:
        """The person's keys that are not revoked, newest first."""
        rows = await self._pool.fetch(_OF_PERSON, person.tenant, person.user)
        return [_state_of(row) for row in rows]

    async def valid(self, key_ids: Sequence[UUID]) -> Sequence[ApiKeyState]:
        """Those that are neither revoked, alone or with all of their tenant, nor expired."""
        return [_state_of(row) for row in await self._pool.fetch(_VALID, key_ids)]

    async def mark_used(self, key_ids: Sequence[UUID]) -> None:
        """Record that the keys are used today, in UTC."""
        await self._pool.execute(_MARK_USED, key_ids)

    async def recently_revoked(self) -> tuple[Sequence[UUID], bool]:
        """Keys revoked within RECENTLY_REVOKED_SECONDS, and whether these are all of them."""
        rows = await self._pool.fetch(
            _RECENTLY_REVOKED, RECENTLY_REVOKED_SECONDS, MAX_REVOCATIONS + 1
        )
        return [row["stream_id"] for row in rows[:MAX_REVOCATIONS]], len(rows) <= MAX_REVOCATIONS

    async def erase_names_of(self, person: Principal) -> None:
        """Delete what the person typed."""
        await self._pool.execute(
            "UPDATE api_keys SET name = '' WHERE tenant = $1 AND owner = $2",
            person.tenant,
            person.user,
        )

    async def _append(
        self, statement: str, event: ApiKeyEvent, audited: AuditData, *values: object
    ) -> bool:
        stored: bool = await self._pool.fetchval(
            statement,
            event.key_id,
            event.sequence,
            event.id,
            event.type,
            event.time,
            encode_data(event.data).decode(),
            current_traceparent(),
            encode_data(audited).decode(),
            *values,
        )
        if stored:
            self._on_appended()
        return stored


def _state_of(row: asyncpg.Record) -> ApiKeyState:
    definition = ApiKeyDefinition(
        row["name"],
        row["scopes"],
        row["models"],
        row["expires_at"],
        _decode_limits(row["limits"] or "{}"),
    )
    return ApiKeyState(
        id=row["stream_id"],
        tenant=row["tenant"],
        owner=row["owner"],
        definition=definition,
        secret_digest=row["secret_digest"],
        created_at=row["created_at"],
        last_used_on=row["last_used_on"],
        revoked=row["revoked_at"] is not None,
    )
