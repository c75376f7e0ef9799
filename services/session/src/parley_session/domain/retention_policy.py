"""How long sessions are kept: the most specific policy that says something decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Never = Literal["never"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for the sessions of a tenant, of an assistant, of both, or of all.

    `idle_days` after its last event a session is erased; `undelete_days` after it was deleted.
    Parts of days count. None says nothing, so that a more general policy decides.
    """

    tenant: str | None = None
    assistant_id: str | None = None
    idle_days: float | Never | None = None
    undelete_days: float | None = None

    def concerns(self, tenant: str, assistant_id: str) -> bool:
        return self.tenant in (None, tenant) and self.assistant_id in (None, assistant_id)

    @property
    def _weight(self) -> int:
        # Both before the tenant's, the tenant's before the assistant's, a general one last.
        return 2 * (self.tenant is not None) + (self.assistant_id is not None)


class Policies:
    """Without any, sessions are kept for ever, and what is deleted is erased at once."""

    def __init__(self, policies: Sequence[Policy] = ()) -> None:
        self._policies = sorted(policies, key=lambda policy: policy._weight, reverse=True)

    def undelete_days(self, tenant: str, assistant_id: str) -> float:
        """For how many days a deleted session can be restored; 0 is not at all."""
        for policy in self._policies:
            if policy.undelete_days is not None and policy.concerns(tenant, assistant_id):
                return policy.undelete_days
        return 0

    def idle_days(self, tenant: str, assistant_id: str) -> float | None:
        """After how many days without an event a session is erased; None is never."""
        for policy in self._policies:
            if policy.idle_days is not None and policy.concerns(tenant, assistant_id):
                return None if policy.idle_days == "never" else policy.idle_days
        return None

    @property
    def shortest_idle_days(self) -> float | None:
        """No session that is idle for less is erased; None when idle ones are kept for ever."""
        days = [policy.idle_days for policy in self._policies]
        return min((each for each in days if isinstance(each, int | float)), default=None)
