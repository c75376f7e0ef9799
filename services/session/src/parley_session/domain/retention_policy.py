"""Retention policies: the most specific policy that sets a value decides it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Never = Literal["never"]


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """Applies to the sessions of a tenant, of an assistant, of both, or to all.

    A session is erased `idle_days` after its last event, and `undelete_days` after its deletion.
    Fractions of days count. None leaves the value to a more general policy.
    """

    tenant: str | None = None
    assistant_id: str | None = None
    idle_days: float | Never | None = None
    undelete_days: float | None = None

    def applies_to(self, tenant: str, assistant_id: str) -> bool:
        return self.tenant in (None, tenant) and self.assistant_id in (None, assistant_id)

    @property
    def _specificity(self) -> int:
        # Tenant and assistant, then tenant, then assistant, then neither.
        return 2 * (self.tenant is not None) + (self.assistant_id is not None)


class RetentionPolicies:
    """Without policies, sessions are never erased for being idle, and deleted ones at once."""

    def __init__(self, policies: Sequence[RetentionPolicy] = ()) -> None:
        self._policies = sorted(policies, key=lambda policy: policy._specificity, reverse=True)

    def replace(self, other: "RetentionPolicies") -> None:
        """Apply the policies of another one from now on."""
        self._policies = other._policies

    def undelete_days(self, tenant: str, assistant_id: str) -> float:
        """For how many days a deleted session can be restored; 0 erases it at once."""
        for policy in self._policies:
            if policy.undelete_days is not None and policy.applies_to(tenant, assistant_id):
                return policy.undelete_days
        return 0

    def idle_days(self, tenant: str, assistant_id: str) -> float | None:
        """After how many days without an event a session is erased; None means never."""
        for policy in self._policies:
            if policy.idle_days is not None and policy.applies_to(tenant, assistant_id):
                return None if policy.idle_days == "never" else policy.idle_days
        return None

    @property
    def shortest_idle_days(self) -> float | None:
        """The shortest idle time of any policy; None if none erases idle sessions."""
        days = [policy.idle_days for policy in self._policies]
        return min((each for each in days if isinstance(each, int | float)), default=None)
