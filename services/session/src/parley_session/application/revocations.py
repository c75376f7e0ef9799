"""Revocations of tokens: administrators make and list them, gateways follow them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from parley_contracts.session_api.limits import MAX_TOKEN_LIFETIME_SECONDS
from parley_core.auth.caller import Caller
from parley_core.http.errors import Conflict, IdempotencyKeyReused, InvalidRequest
from parley_events.api_key import RevocationKind
from parley_session.application.audit.audit_data import audit_data
from parley_session.application.command_executor import Clock, command_metadata_for
from parley_session.application.idempotency import IdempotentRequest
from parley_session.domain.revocation import Revocation, tokens_revoked_event
from parley_session.storage.keys.installation_key import InstallationKey
from parley_session.storage.keys.revocation_store import RevocationStore

MAX_REVOCATIONS_PER_TENANT = 10_000
"""Of tokens and users; every gateway has all of them in memory."""

_LIFETIME = timedelta(seconds=MAX_TOKEN_LIFETIME_SECONDS)


class Revocations:
    def __init__(
        self, store: RevocationStore, installation_key: InstallationKey, clock: Clock
    ) -> None:
        self._store, self._installation_key, self._clock = store, installation_key, clock

    async def revoke(
        self,
        caller: Caller,
        kind: RevocationKind,
        target: str,
        expires_at: datetime | None,
        request: IdempotentRequest | None,
    ) -> Revocation:
        """Refuse the tokens in the caller's tenant from now on; a retry revokes no later ones.

        Raises InvalidRequest, IdempotencyKeyReused, or Conflict for too many revocations.
        """
        metadata = command_metadata_for(caller, self._clock())
        if kind == "tenant" and target != caller.principal.tenant:
            raise InvalidRequest(
                "An administrator revokes the tokens of their own tenant.", param="target"
            )
        latest = metadata.now + _LIFETIME
        if expires_at is not None and (kind != "token" or not metadata.now < expires_at <= latest):
            raise InvalidRequest(
                f"Allowed only for a single token, and within {_LIFETIME.days} days from now.",
                param="expires_at",
            )
        stream_id = None
        if request is not None:
            stream_id = request.session_id(await self._installation_key.get())
        event = tokens_revoked_event(kind, target, expires_at or latest, metadata, stream_id)
        audited = audit_data(caller, "tokens.revoked", (kind, target))
        made = await self._store.revoke(event, audited, max_revocations=MAX_REVOCATIONS_PER_TENANT)
        if made is None and stream_id is not None and (found := await self._store.find(stream_id)):
            first, made = found
            asked = kind, target, expires_at or first.revoked_at + _LIFETIME
            if (first.kind, first.target, first.expires_at) != asked:
                raise IdempotencyKeyReused(
                    "This Idempotency-Key was used with another body. Use a new key."
                )
        if made is None:
            raise Conflict(
                f"A tenant has at most {MAX_REVOCATIONS_PER_TENANT} revocations of tokens and "
                "users. Revoke the tokens of the tenant instead.",
                code="revocations_full",
            )
        return made

    async def of_tenant(
        self, tenant: str, after: UUID | None, limit: int
    ) -> tuple[Sequence[Revocation], bool]:
        """A page, the latest first, and whether there are more."""
        found = await self._store.of_tenant(tenant, after, limit + 1)
        return found[:limit], len(found) > limit

    async def recently_made(self) -> tuple[Sequence[Revocation], bool]:
        """Those that were made recently, and whether these are all of them."""
        return await self._store.recently_made()

    async def all_after(self, after: UUID | None) -> Sequence[Revocation]:
        """A page of all tenants'; the next one follows its last id. The last page is empty."""
        return await self._store.all_after(after)
