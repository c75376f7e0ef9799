"""Event type of the `audit` stream: who did what, and who was refused it.

One stream per installation is a hash chain: each record has the hash of the previous one, so that
a record which is missing or was changed is found. Records hold ids, never what people said.
"""

import hashlib
from collections.abc import Sequence
from typing import ClassVar, Literal

from parley_events.cloudevents import Record
from parley_events.values import Actor, Count, Name, Value

AuditOutcome = Literal["done", "allowed", "refused"]

AuditAction = Literal[
    "access.refused",
    "assistant.switched",
    "messages.searched",
    "session.exported",
    "sessions.exported",
    "history.imported",
    "session.deleted",
    "session.restored",
    "session.erased",
    "legal_hold.placed",
    "legal_hold.lifted",
    "assistant.defined",
    "assistant.revised",
    "assistant.retired",
    "keys.opened",
    "api_key.created",
    "api_key.revoked",
    "tokens.revoked",
    "limits.changed",
    "master_keys.rewrapped",
    "store.backed_up",
    "store.restored",
    "log.reconciled",
    "costs.recounted",
]
"""The actions at present; consumers tolerate others."""

FIRST_PREVIOUS = "0" * 64
"""What the first record of a chain has as the hash of the previous one."""


class AuditObject(Value):
    """What an act concerns: its kind, such as `session`, and its id."""

    kind: Name
    id: Name


class AuditData(Value):
    """An act, before it has a place in the chain."""

    tenant: Name | None = None
    actor: Actor | None = None
    action: Name
    outcome: AuditOutcome
    code: Name | None = None
    objects: Sequence[AuditObject] = ()
    request_id: Name | None = None
    client_address: Name | None = None
    api_key_id: Name | None = None
    token_id: Name | None = None
    left_out: Count | None = None


class AuditRecorded(AuditData):
    """An act was done, or allowed, or refused.

    The `outcome` of a change is `done`: it is part of the same commit. That of a read is `allowed`:
    it is recorded before the first byte is sent.
    """

    TYPE: ClassVar[str] = "parley.audit.audit_recorded.v1"

    previous: Name


AUDIT_DATA_BY_TYPE: dict[str, type[AuditRecorded]] = {AuditRecorded.TYPE: AuditRecorded}


def record_hash(record: Record) -> str:
    """The hash by which the next record of the chain refers to this one, in hexadecimal.

    SHA-256 of the headers ce_id, ce_sequence, ce_time and ce_type and the value, as lines.
    """
    headers = dict(record.headers)
    names = ("ce_id", "ce_sequence", "ce_time", "ce_type")
    lines = [*(headers.get(name, b"") for name in names), record.value]
    return hashlib.sha256(b"\n".join(lines)).hexdigest()
