"""Routes of committed versions, which reads of history must have."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley_contracts.session_api.version_bodies import VersionsRequest, VersionsResponse
from parley_core.http.service_auth import caller_of
from parley_session.api.request_parsing import decode_body
from parley_session.api.responses import json_response
from parley_session.storage.session_index import SessionIndex


def version_routes(index: SessionIndex) -> Sequence[Route]:
    async def read_versions(request: Request) -> Response:
        body = await decode_body(request, VersionsRequest)
        return json_response(VersionsResponse(await index.versions(body.session_ids)))

    async def read_latest_versions(request: Request) -> Response:
        caller = caller_of(request)
        return json_response(VersionsResponse(await index.latest_versions(caller.principal)))

    return [
        Route("/versions", read_versions, methods=["POST"]),
        Route("/latest-versions", read_latest_versions),
    ]
