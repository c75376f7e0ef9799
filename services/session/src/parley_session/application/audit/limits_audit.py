"""Records in the audit trail that the file of limits changed, as this process loads it."""

import asyncio
import logging
from uuid import uuid4

from parley_core.auth.caller import Caller
from parley_core.auth.principal import service_principal
from parley_core.limits.rules import LimitRules
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_session.application.audit.audit_data import audit_data
from parley_session.storage.audit.audit_store import NO_LIMITS, AuditStore
from parley_session.storage.database_errors import DATABASE_UNAVAILABLE

_RETRY_SECONDS = 5

log = logging.getLogger(__name__)


class LimitsAudit:
    def __init__(self, rules: LimitRules) -> None:
        self._rules = rules
        self._loaded = asyncio.Event()
        self._loaded.set()

    def on_reloaded(self) -> None:
        """The rules were replaced by those of a file that was read again."""
        self._loaded.set()

    async def run(self, store: AuditStore) -> None:
        """Record changes until cancelled; one that several processes load has one record."""
        while True:
            await self._loaded.wait()
            self._loaded.clear()
            try:
                await self._record(store)
                continue
            except DATABASE_UNAVAILABLE as error:
                log.warning("changed limits are not recorded yet: %s", type(error).__name__)
            except Exception as error:
                log_unexpected_error(log, "record of changed limits", error)
            self._loaded.set()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _record(self, store: AuditStore) -> None:
        caller = Caller(service_principal("session"), f"limits-{uuid4()}")
        digest = self._rules.digest or NO_LIMITS
        record = audit_data(caller, "limits.changed", ("limits_file", digest), as_system=True)
        await store.append_limits(digest, record)
