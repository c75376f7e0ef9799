"""Builds the records of the audit trail from what happened and who caused it."""

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from parley_core.auth.caller import Caller
from parley_events.assistant import (
    AssistantDefined,
    AssistantEvent,
    AssistantRetired,
    AssistantRevised,
)
from parley_events.audit import AuditAction, AuditData, AuditObject, AuditOutcome
from parley_events.session import (
    Event,
    LegalHoldLifted,
    LegalHoldPlaced,
    MessageImported,
    SessionDeleted,
    SessionErased,
    SessionRestored,
    SessionStarted,
)
from parley_events.values import MAX_NAME_LENGTH, Actor

_ACTIONS: Mapping[type, AuditAction] = {
    SessionDeleted: "session.deleted",
    SessionRestored: "session.restored",
    SessionErased: "session.erased",
    LegalHoldPlaced: "legal_hold.placed",
    LegalHoldLifted: "legal_hold.lifted",
    MessageImported: "history.imported",
}
_ASSISTANT_ACTIONS: Mapping[type, AuditAction] = {
    AssistantDefined: "assistant.defined",
    AssistantRevised: "assistant.revised",
    AssistantRetired: "assistant.retired",
}


def audit_data(
    caller: Caller,
    action: AuditAction,
    *objects: tuple[str, object],
    outcome: AuditOutcome = "done",
    tenant: str | None = None,
    as_system: bool = False,
) -> AuditData:
    """An act of the caller, by default in their own tenant, or `as_system` in none.

    `objects` are pairs of kind and id.
    """
    principal = caller.principal
    return AuditData(
        tenant=tenant or (None if as_system else principal.tenant),
        actor=Actor(tenant=principal.tenant, user=principal.user, system=as_system),
        action=action,
        outcome=outcome,
        objects=[AuditObject(kind=kind, id=str(id)) for kind, id in objects],
        request_id=caller.request_id,
        client_address=_name(caller.client_address),
        api_key_id=principal.api_key,
        token_id=_name(caller.token_id),
    )


def audited_changes(
    events: Sequence[Event], caller: Caller, tenant: str, *, as_system: bool
) -> Iterator[AuditData]:
    """A record for each kind of audited change that an append makes to a session of the tenant."""
    if isinstance(events[0].data, SessionStarted):
        # A fork has copies of its owner's messages.
        return
    session: tuple[str, UUID] = ("session", events[0].session_id)
    # By kind: an import may have a thousand events.
    for action in dict.fromkeys(_ACTIONS.get(type(event.data)) for event in events):
        if action is not None:
            yield audit_data(caller, action, session, tenant=tenant, as_system=as_system)


def audited_assistant(event: AssistantEvent, assistant_id: str, caller: Caller) -> AuditData:
    """A change of the caller's tenant to an assistant of its own, or of Parley to a shared one."""
    action = _ASSISTANT_ACTIONS[type(event.data)]
    as_system = caller.principal.is_service
    return audit_data(caller, action, ("assistant", assistant_id), as_system=as_system)


def _name(text: str | None) -> str | None:
    return None if text is None else text[:MAX_NAME_LENGTH]
