"""`GET /`: says where the API and its reference are."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route


def root_route(*, public_docs: bool) -> Route:
    reference = " and its reference at /docs" if public_docs else ""
    line = f"This is a Parley gateway. Its API is at /v1{reference}; calls need a bearer token.\n"

    async def root(_: Request) -> Response:
        return PlainTextResponse(line)

    return Route("/", root, include_in_schema=False)
