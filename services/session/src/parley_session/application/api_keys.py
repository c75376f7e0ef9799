"""API keys of people's programs: create, list, revoke, authenticate."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID

from parley_contracts.session_api.api_key_bodies import PresentedApiKey
from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import fingerprint
from parley_core.http.errors import (
    Conflict,
    Forbidden,
    IdempotencyKeyReused,
    InvalidRequest,
)
from parley_core.limits.rules import LIMIT_NAMES, LimitRules
from parley_events.uuid7 import uuid7_after
from parley_session.application.audit.audit_data import audit_data
from parley_session.application.command_executor import Clock, command_metadata_for
from parley_session.application.idempotency import IdempotentRequest
from parley_session.domain.api_key_state import (
    ApiKeyDefinition,
    ApiKeyNotFound,
    ApiKeyState,
    created_event,
    revoked_event,
)
from parley_session.storage.keys.api_key_store import ApiKeyStore
from parley_session.storage.keys.installation_key import InstallationKey

MAX_API_KEYS_PER_PERSON = 100
"""Counts keys that were revoked within a day as well, because each stays stored and each revocation
reaches every gateway. Concurrent creations may exceed it by their number.
"""

_MAX_LIFETIME = timedelta(days=3_653)
_SECRET_BYTES = 32
_DERIVE_SECRET = b"secret of an API key: "


class ApiKeys:
    def __init__(
        self,
        store: ApiKeyStore,
        installation_key: InstallationKey,
        clock: Clock,
        rules: LimitRules | None = None,
    ) -> None:
        """`rules` bound the limits of new keys."""
        self._store, self._installation_key, self._clock = store, installation_key, clock
        self._rules = rules or LimitRules()

    async def create(
        self, caller: Caller, definition: ApiKeyDefinition, request: IdempotentRequest | None
    ) -> tuple[ApiKeyState, str, bool]:
        """The key, what its holder sends, and whether it is new.

        The secret of a request with an Idempotency-Key is derived, so that a retry gets it again
        without its being stored. Raises Forbidden, InvalidRequest, IdempotencyKeyReused, also once
        the key is revoked, and Conflict for too many keys.
        """
        self._check(caller.principal, definition)
        metadata = command_metadata_for(caller, self._clock())
        if request is None:
            key_id = uuid7_after(None, metadata.now, secrets.randbits(74))
            secret = secrets.token_bytes(_SECRET_BYTES)
        else:
            key = await self._installation_key.get()
            key_id = request.session_id(key)
            secret = fingerprint(key, _DERIVE_SECRET + request.digest)
        event = created_event(key_id, definition, metadata)
        is_new = await self._store.create(
            event,
            caller.principal,
            definition,
            hashlib.sha256(secret).digest(),
            audit_data(caller, "api_key.created", ("api_key", key_id)),
            max_keys=MAX_API_KEYS_PER_PERSON,
        )
        created = await self._store.find(key_id)
        if created is None:
            raise Conflict(
                f"A person has at most {MAX_API_KEYS_PER_PERSON} API keys, counting those revoked "
                "within the last 24 hours. Revoke one, and retry a day after its revocation.",
                code="api_keys_full",
            )
        if not is_new and (created.revoked or created.definition != definition):
            raise IdempotencyKeyReused(
                "This Idempotency-Key was used with another body, or its API key was revoked. Use "
                "a new Idempotency-Key."
            )
        return created, _credential(key_id, secret), is_new

    async def keys_of(self, person: Principal) -> Sequence[ApiKeyState]:
        """The person's keys that are not revoked, newest first."""
        return await self._store.keys_of(person)

    async def revoke(self, key_id: UUID, caller: Caller) -> None:
        """Refuse the key from now on. Raises ApiKeyNotFound."""
        key = await self._store.find(key_id)
        owner = (caller.principal.tenant, caller.principal.user)
        if key is None or key.revoked or (key.tenant, key.owner) != owner:
            raise ApiKeyNotFound
        event = revoked_event(key, command_metadata_for(caller, self._clock()))
        await self._store.revoke(event, audit_data(caller, "api_key.revoked", ("api_key", key_id)))

    async def revoke_all_of(self, person: Principal, caller: Caller) -> int:
        """Revoke the person's keys and delete their names, in Parley's name; return how many."""
        keys = await self._store.keys_of(person)
        for key in keys:
            metadata = command_metadata_for(caller, self._clock(), as_system=True)
            audited = audit_data(
                caller,
                "api_key.revoked",
                ("api_key", key.id),
                tenant=person.tenant,
                as_system=True,
            )
            await self._store.revoke(revoked_event(key, metadata), audited)
        await self._store.erase_names_of(person)
        return len(keys)

    async def authenticate(
        self, presented: Sequence[PresentedApiKey]
    ) -> Sequence[ApiKeyState | None]:
        """The keys in this order, None for an invalid one. The others count as used today."""
        known = {key.id: key for key in await self._store.valid([each.id for each in presented])}
        found = [_matching(known.get(each.id), each.digest) for each in presented]
        unmarked = [key.id for key in found if key and key.last_used_on != self._today()]
        if unmarked:
            await self._store.mark_used(unmarked)
        return found

    async def recently_revoked(self) -> tuple[Sequence[UUID], bool]:
        """Keys that were revoked recently, and whether these are all of them."""
        return await self._store.recently_revoked()

    def _check(self, principal: Principal, definition: ApiKeyDefinition) -> None:
        if missing := sorted({*definition.scopes} - principal.scopes):
            raise Forbidden(
                f"An API key has only scopes that its owner has, and you do not have {missing[0]}.",
                code="missing_scope",
                param="scopes",
            )
        self._check_limits(principal, definition)
        expires_at, now = definition.expires_at, self._clock()
        if expires_at is not None and not now < expires_at < now + _MAX_LIFETIME:
            raise InvalidRequest("Must be in the future, within 10 years.", param="expires_at")

    def _check_limits(self, principal: Principal, definition: ApiKeyDefinition) -> None:
        """Raises InvalidRequest."""
        own: dict[str, int] = {}
        for limit in self._rules.of(principal):
            # The person's, or that of all people of the tenant together.
            own[limit.name] = min(limit.value, own.get(limit.name, limit.value))
        for name in LIMIT_NAMES:
            value = definition.limits.get(name)
            if value is None:
                continue
            if not self._rules.limit_any([name]):
                raise InvalidRequest(
                    f"The operator sets no limit `{name}`, so an API key cannot have it either.",
                    param=f"limits.{name}",
                )
            if value > own.get(name, value):
                raise InvalidRequest(
                    f"`{name}` of an API key is at most that of its owner, {own[name]}.",
                    param=f"limits.{name}",
                )

    def _today(self) -> date:
        return self._clock().date()


def _matching(key: ApiKeyState | None, digest: bytes) -> ApiKeyState | None:
    return key if key and hmac.compare_digest(key.secret_digest, digest) else None


def _credential(key_id: UUID, secret: bytes) -> str:
    return f"pk_{key_id.hex}_{base64.urlsafe_b64encode(secret).rstrip(b'=').decode()}"
