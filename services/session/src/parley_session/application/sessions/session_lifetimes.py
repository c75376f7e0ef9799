"""How long sessions of an assistant last, as clients must know before they start or delete one."""

from dataclasses import dataclass
from typing import Any

from parley_session.domain.retention_policy import RetentionPolicies

_HOUR_SECONDS, _DAY_SECONDS = 3_600, 86_400


@dataclass(frozen=True, slots=True)
class SessionLifetimes:
    policies: RetentionPolicies
    temporary_hours: int

    def of(self, tenant: str, assistant_id: str) -> dict[str, Any]:
        """The fields of an `Assistant` about its sessions, in whole seconds."""
        undelete_days = self.policies.undelete_days(tenant, assistant_id)
        return {
            "undelete_seconds": round(undelete_days * _DAY_SECONDS),
            "temporary_seconds": self.temporary_hours * _HOUR_SECONDS,
        }
