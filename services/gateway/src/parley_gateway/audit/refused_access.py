"""Records refused access in the audit trail: a sample of it, and how much the sample leaves out."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from uuid import UUID, uuid4

import msgspec
import prometheus_client
from prometheus_client import CollectorRegistry
from starlette.types import Scope

from parley_contracts.session_api.audit_bodies import RecordRefusalsRequest, RefusedAccess
from parley_contracts.session_api.limits import MAX_REFUSALS_PER_REQUEST
from parley_core.auth.principal import Principal
from parley_core.auth.request_origin import recordable_token_id
from parley_core.http.errors import ParleyError
from parley_core.http.service_client import ServiceClient

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
MAX_RECORDS_PER_CLIENT = 5
"""Per interval, of one person at one address: shows what they try, and a flood costs little."""
MAX_RECORDS = 50
"""Per interval, of all: acts of other people wait for the end of the chain, which records lock."""
MAX_CLIENTS = 1_000
"""Per interval, with counts of their own."""
MAX_QUEUED = 1_000
"""Waiting for the session service, for some 20 s of a flood."""
TIMEOUT_SECONDS = 2.0

# Besides 401 and 403. An unknown session and that of another person look alike.
_REFUSALS = frozenset(("session_not_found", "turn_not_found", "too_many_bad_tokens"))

_Client = tuple[str | None, str | None, str | None]
"""Tenant, user and address."""
_OTHERS: _Client = (None, None, None)


class RefusedAccessRecorder:
    def __init__(
        self, address_of: Callable[[Scope], str | None], registry: CollectorRegistry
    ) -> None:
        self._address_of = address_of
        self._queue: list[RefusedAccess] = []
        self._recorded: Counter[_Client] = Counter()
        self._left_out: Counter[_Client] = Counter()
        self._unrecorded = 0
        """Refused access that the next report only counts, without a client."""
        self._dropped_metric = prometheus_client.Counter(
            "parley_gateway_audit_records_dropped",
            "Records of refused access that the session service did not accept in time; the audit "
            "trail has their number.",
            registry=registry,
        )

    def observe(self, scope: Scope, status: int) -> None:
        """Queue a record of the response if it refuses access."""
        code = scope["state"].get("error_code")
        if status not in (401, 403) and code not in _REFUSALS:
            return
        principal = scope["state"].get("principal")
        client = self._client_of(scope, principal)
        if self._recorded[client] < MAX_RECORDS_PER_CLIENT and self._recorded.total() < MAX_RECORDS:
            self._recorded[client] += 1
            self._enqueue(_record(scope, code, client, principal))
        else:
            known = client in self._left_out or len(self._left_out) < MAX_CLIENTS
            self._left_out[client if known else _OTHERS] += 1

    async def run(self, session: ServiceClient) -> None:
        """Send what was queued, once per interval, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await self.send(session)

    async def send(self, session: ServiceClient) -> None:
        """End the interval and send the queue; the next call sends what session did not accept."""
        self._end_interval()
        while self._queue or self._unrecorded:
            batch = self._queue[:MAX_REFUSALS_PER_REQUEST]
            number = self._unrecorded if len(batch) < MAX_REFUSALS_PER_REQUEST else 0
            refused = [*batch, RefusedAccess(left_out=number)] if number else batch
            try:
                await session.call(
                    "POST",
                    "/audit/refusals",
                    principal=session.service_principal,
                    request_id=uuid4().hex,
                    body=msgspec.json.encode(RecordRefusalsRequest(refused)),
                    timeout=TIMEOUT_SECONDS,
                )
            except ParleyError as error:
                log.debug("refused access is not recorded: %s", error.code)
                if error.status < 500:
                    # It does not know the route, or what the records hold; it may accept others.
                    self._drop(sum(each.left_out or 1 for each in batch))
                    del self._queue[: len(batch)]
                return
            self._unrecorded -= number
            del self._queue[: len(batch)]

    def _end_interval(self) -> None:
        clients = self._left_out.most_common(MAX_RECORDS)
        self._unrecorded += self._left_out.total() - sum(count for _, count in clients)
        for (tenant, user, address), count in clients:
            self._enqueue(
                RefusedAccess(tenant=tenant, user=user, client_address=address, left_out=count)
            )
        self._recorded.clear()
        self._left_out.clear()

    def _enqueue(self, record: RefusedAccess) -> None:
        if len(self._queue) < MAX_QUEUED:
            self._queue.append(record)
        else:
            self._drop(record.left_out or 1)

    def _drop(self, count: int) -> None:
        self._unrecorded += count
        self._dropped_metric.inc(count)

    def _client_of(self, scope: Scope, principal: Principal | None) -> _Client:
        address = self._address_of(scope)
        if principal is None:
            return None, None, address
        return principal.tenant, principal.user, address


def _record(
    scope: Scope, code: str | None, client: _Client, principal: Principal | None
) -> RefusedAccess:
    tenant, user, address = client
    path = getattr(scope.get("route"), "path", None)
    return RefusedAccess(
        code=code,
        tenant=tenant,
        user=user,
        route=None if path is None else f"{scope['method']} {path}",
        session_id=_path_id(scope, "session_id"),
        turn_id=_path_id(scope, "turn_id"),
        request_id=scope["state"]["request_id"],
        client_address=address,
        api_key_id=None if principal is None else principal.api_key,
        token_id=None if principal is None else recordable_token_id(principal),
    )


def _path_id(scope: Scope, name: str) -> UUID | None:
    try:
        return UUID(str(scope.get("path_params", {})[name]))
    except (KeyError, ValueError):
        return None
