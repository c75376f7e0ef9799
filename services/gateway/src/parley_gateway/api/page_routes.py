"""Routes of the chat page: its client routes, its files, and what it needs before sign-in."""

from collections.abc import Sequence

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from parley_contracts.session_api.limits import MAX_MESSAGE_BYTES
from parley_contracts.turn_sse import HEARTBEAT_SECONDS
from parley_gateway.page.page_files import ASSETS, INDEX, PageFiles
from parley_gateway.page.page_responses import file_response
from parley_gateway.route_dependencies import PageFilesDependency, VerificationDependency
from parley_gateway.schemas.responses import ClientConfig, SignInIssuer

# A list, not a wildcard: every other path stays a JSON 404.
CLIENT_ROUTES = ("/", "/s/{session_id}", "/search", "/usage", "/import", "/settings")
LANGUAGES = ("en", "zh-Hans")
ROOT_FILES = ("boot.js", "favicon.svg")

NOT_BUILT = "The chat page is not built yet. `make run` builds it, and reports why it cannot.\n"
RELOAD_SECONDS = "2"

router = APIRouter(prefix="/v1", tags=["operation"])


@router.get(
    "/client-config",
    summary="What the chat page needs to know before sign-in",
    response_model=ClientConfig,
)
async def read_client_config(
    files: PageFilesDependency, verification: VerificationDependency
) -> Response:
    """Needs no token and contains no secret."""
    config = ClientConfig(
        max_message_bytes=MAX_MESSAGE_BYTES,
        heartbeat_seconds=HEARTBEAT_SECONDS,
        languages=list(LANGUAGES),
        build=files.build,
        issuers=[
            SignInIssuer(
                name=issuer.name,
                issuer=issuer.issuer,
                client_id=issuer.page.client_id,
                scope=issuer.page.scope,
                parameters=dict(issuer.page.parameters),
            )
            for issuer in verification.issuers
            if issuer.page is not None
        ],
    )
    return JSONResponse(config.model_dump(), headers={"cache-control": "no-cache"})


def page_routes(files: PageFiles, *, public_docs: bool) -> Sequence[Route]:
    """Without a page, its routes say where the API and its reference are."""
    reference = " and its reference at /docs" if public_docs else ""
    no_page = (
        f"This is a Parley gateway. Its API is at /v1{reference}; calls need a bearer token.\n"
    )

    async def index(request: Request) -> Response:
        if file := files.find(INDEX):
            return file_response(request, file)
        if files.is_expected:
            headers = {"refresh": RELOAD_SECONDS, "cache-control": "no-store"}
            return PlainTextResponse(NOT_BUILT, 503, headers)
        return PlainTextResponse(no_page)

    async def file(request: Request) -> Response:
        path = request.url.path.removeprefix("/")
        found = files.find(path)
        if found is None:
            # Never the index: a module that is served as HTML is a blank page.
            raise HTTPException(404, headers={"cache-control": "no-store"})
        return file_response(request, found)

    return [
        *(Route(path, index, include_in_schema=False) for path in CLIENT_ROUTES),
        Route(f"/{ASSETS}{{name}}", file, include_in_schema=False),
        *(Route(f"/{name}", file, include_in_schema=False) for name in ROOT_FILES),
    ]
