"""Bodies of the routes of the audit trail."""

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta

from parley_contracts.session_api.limits import MAX_REFUSALS_PER_REQUEST
from parley_contracts.session_api.requests import Request
from parley_events.values import MAX_NAME_LENGTH

ReadAction = Literal["messages.searched", "session.exported", "sessions.exported"]

_Name = Annotated[str, Meta(max_length=MAX_NAME_LENGTH, pattern=r"^[^\x00]*$")]


class RecordReadRequest(Request):
    """`POST /audit/reads`: of the person, who has not received anything yet."""

    action: ReadAction
    session_id: UUID | None = None


class RefusedAccess(Request):
    """A refused request, whose person may be unknown, or with `left_out` the number of like ones
    that have no record of their own.
    """

    code: _Name | None = None
    tenant: _Name | None = None
    user: _Name | None = None
    route: _Name | None = None
    session_id: UUID | None = None
    turn_id: UUID | None = None
    request_id: _Name | None = None
    client_address: _Name | None = None
    api_key_id: _Name | None = None
    token_id: _Name | None = None
    left_out: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None


class RecordRefusalsRequest(Request):
    """`POST /audit/refusals`."""

    refused: Annotated[list[RefusedAccess], Meta(min_length=1, max_length=MAX_REFUSALS_PER_REQUEST)]
