"""Bodies of the version routes: committed versions of sessions, for reads that must have them."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from parley_contracts.session_api.limits import MAX_VERSIONS_PER_REQUEST
from parley_contracts.session_api.requests import Request


class VersionsRequest(Request):
    """`POST /versions`"""

    session_ids: Annotated[list[UUID], Meta(max_length=MAX_VERSIONS_PER_REQUEST)]


class VersionsResponse(Struct):
    """`POST /versions`, without deleted, erased and unknown sessions; `GET /latest-versions`, of
    the caller's sessions that changed last, deleted and erased ones included.
    """

    versions: dict[UUID, int]
