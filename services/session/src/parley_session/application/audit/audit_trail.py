"""The audit trail: records reads before they are answered and refused access, and shows records."""

from collections.abc import Sequence
from uuid import UUID

from parley_contracts.api_models import AuditRecord, AuditRecordObject, Page
from parley_contracts.session_api.audit_bodies import ReadAction, RefusedAccess
from parley_core.auth.caller import Caller
from parley_events.audit import AuditData, AuditObject
from parley_events.values import Actor
from parley_session.application.audit.audit_data import audit_data
from parley_session.storage.audit.audit_store import AuditFilter, AuditStore, StoredAuditRecord
from parley_session.storage.session_index import SessionIndex


class AuditTrail:
    def __init__(self, store: AuditStore, index: SessionIndex) -> None:
        self._store, self._index = store, index

    async def record_read(
        self, caller: Caller, action: ReadAction, session_id: UUID | None
    ) -> None:
        """The caller may send the first byte once this returns."""
        objects = [] if session_id is None else [("session", session_id)]
        await self._store.append([audit_data(caller, action, *objects, outcome="allowed")])

    async def record_opened_keys(self, caller: Caller, session_ids: Sequence[UUID]) -> None:
        """In the tenants of the sessions."""
        by_tenant = await self._index.by_tenant(session_ids)
        records = [
            audit_data(
                caller,
                "keys.opened",
                *(("session", id) for id in ids),
                outcome="allowed",
                tenant=tenant,
                as_system=True,
            )
            for tenant, ids in sorted(by_tenant.items())
        ]
        if records:
            await self._store.append(records)

    async def record_refused_access(self, refused: Sequence[RefusedAccess]) -> None:
        await self._store.append([_refusal(each) for each in refused])

    async def page(self, tenant: str, wanted: AuditFilter) -> Page[AuditRecord]:
        """A page of the tenant's records."""
        found, has_more = await self._store.page(tenant, wanted)
        shapes = [_shape(each) for each in found]
        return Page.of(shapes, has_more=has_more)


def _refusal(refused: RefusedAccess) -> AuditData:
    actor = None
    if refused.tenant is not None and refused.user is not None:
        actor = Actor(tenant=refused.tenant, user=refused.user)
    objects = {"route": refused.route, "session": refused.session_id, "turn": refused.turn_id}
    return AuditData(
        tenant=refused.tenant,
        actor=actor,
        action="access.refused",
        outcome="refused",
        code=refused.code,
        objects=[
            AuditObject(kind=kind, id=str(id)) for kind, id in objects.items() if id is not None
        ],
        request_id=refused.request_id,
        client_address=refused.client_address,
        api_key_id=refused.api_key_id,
        token_id=refused.token_id,
        left_out=refused.left_out,
    )


def _shape(stored: StoredAuditRecord) -> AuditRecord:
    data = stored.data
    return AuditRecord(
        id=stored.id,
        sequence=stored.sequence,
        created_at=stored.time,
        action=data.action,
        outcome=data.outcome,
        code=data.code,
        user=None if data.actor is None else data.actor.user,
        system=data.actor is not None and data.actor.system,
        objects=[AuditRecordObject(kind=each.kind, id=each.id) for each in data.objects],
        request_id=data.request_id,
        client_address=data.client_address,
        api_key_id=data.api_key_id,
        token_id=data.token_id,
        left_out=data.left_out,
        hash=stored.hash,
    )
