"""Routes of the audit trail: auditors read it, gateways record reads and refused access."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley_contracts.session_api.audit_bodies import RecordReadRequest, RecordRefusalsRequest
from parley_core.http.errors import Forbidden, InvalidRequest
from parley_core.http.pagination import Query, parse_cursors, parse_limit, parse_order
from parley_core.http.service_auth import caller_of
from parley_session.api.request_parsing import decode_body
from parley_session.api.responses import json_response, model_response
from parley_session.application.audit.audit_trail import AuditTrail
from parley_session.storage.audit.audit_store import AuditFilter

AUDIT_SCOPE = "audit:read"


def audit_routes(audit: AuditTrail) -> Sequence[Route]:
    async def read_records(request: Request) -> Response:
        principal = caller_of(request).principal
        if AUDIT_SCOPE not in principal.scopes:
            raise Forbidden(f"This requires the scope {AUDIT_SCOPE}.", code="missing_scope")
        return model_response(await audit.page(principal.tenant, _filter(request.query_params)))

    async def record_read(request: Request) -> Response:
        body = await decode_body(request, RecordReadRequest)
        await audit.record_read(caller_of(request), body.action, body.session_id)
        return json_response({})

    async def record_refusals(request: Request) -> Response:
        body = await decode_body(request, RecordRefusalsRequest)
        await audit.record_refused_access(body.refused)
        return json_response({})

    return [
        Route("/audit", read_records),
        Route("/audit/reads", record_read, methods=["POST"]),
        Route("/audit/refusals", record_refusals, methods=["POST"]),
    ]


def _filter(query: Query) -> AuditFilter:
    after, before = parse_cursors(lambda name: _id(query, name))
    return AuditFilter(
        limit=parse_limit(query),
        order=parse_order(query),
        after=after,
        before=before,
        user=query.get("user"),
        action=query.get("action"),
        since=_instant(query, "since"),
        until=_instant(query, "until"),
    )


def _id(query: Query, name: str) -> UUID | None:
    try:
        return UUID(query[name]) if name in query else None
    except ValueError:
        raise InvalidRequest(f"{name} should be the id of a record.", param=name) from None


def _instant(query: Query, name: str) -> datetime | None:
    if name not in query:
        return None
    try:
        instant = datetime.fromisoformat(query[name])
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise InvalidRequest(f"{name} should be a time with its offset from UTC.", param=name)
    return instant
