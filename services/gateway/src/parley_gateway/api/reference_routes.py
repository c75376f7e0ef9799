"""`/docs`: the API reference as a page, of files that a package brings along.

Nothing is loaded from another host: a script of a third party on this origin could send the tokens
that people enter anywhere.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

_PATH = "/docs"
_ASSETS = "/docs/assets"
# The package contains Swagger UI, of a pinned version; nothing of its code is used.
_PACKAGE = "fastapi_offline"

# Swagger UI sets style attributes. Its icons are data URLs.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
# References are relative, for a proxy that adds a prefix. No script is inline.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Parley API</title>
<link rel="icon" href="docs/assets/favicon.png">
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# Without `validatorUrl: null` the page would ask validator.swagger.io about the document.
_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
"""
_HEADERS = {"content-security-policy": _CONTENT_SECURITY_POLICY, "cache-control": "no-cache"}


def reference_routes() -> Sequence[BaseRoute]:
    async def page(_: Request) -> Response:
        return HTMLResponse(_PAGE, headers=_HEADERS)

    async def start(_: Request) -> Response:
        return Response(_START, headers=_HEADERS, media_type="text/javascript")

    return [
        Route(_PATH, page, include_in_schema=False),
        Route(f"{_PATH}/start.js", start, include_in_schema=False),
        Mount(_ASSETS, _RevalidatedFiles(directory=str(files(_PACKAGE) / "static"))),
    ]


class _RevalidatedFiles(StaticFiles):
    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        # An update of the package changes the files under the same names.
        response.headers["cache-control"] = "no-cache"
        return response
