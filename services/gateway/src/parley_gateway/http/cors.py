"""Cross-origin requests: which pages in a browser may call the API.

Source: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import BeforeValidator, Field
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from parley_core.http.errors import REQUEST_ID
from parley_core.limits.refusals import RATE_LIMIT_HEADERS
from parley_core.runtime.settings import Variable

ANY_ORIGIN = "*"
# The longest time that a browser keeps the response to a preflight request is two hours.
_PREFLIGHT_SECONDS = 7_200
_METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
_EXPOSED_HEADERS = (
    REQUEST_ID,
    "parley-session-id",
    "parley-turn-id",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    *RATE_LIMIT_HEADERS,
    "etag",
    "www-authenticate",
)
_ORIGIN = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])"
    r"(:(?P<port>[1-9][0-9]{0,4}))?"
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65_535


def with_cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Answers preflight requests, and lets pages of these origins read every response.

    Cookies and other credentials that a browser adds by itself are never allowed: a token is in the
    Authorization header, which a page sets. Without origins, the application as it is.
    """
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=_METHODS,
        # SDKs add headers of their own; none of them grants anything.
        allow_headers=("*",),
        expose_headers=_EXPOSED_HEADERS,
        max_age=_PREFLIGHT_SECONDS,
    )


def _origins(given: object) -> object:
    """Parse `https://a.example,http://localhost:5173`. Raises ValueError."""
    if not isinstance(given, str):
        return given
    origins = tuple(each.strip() for each in given.split(","))
    return origins if origins == (ANY_ORIGIN,) else tuple(map(_origin, origins))


def _origin(text: str) -> str:
    """The origin as browsers send it."""
    match = _ORIGIN.fullmatch(text.lower())
    port = int(match["port"] or 0) if match is not None else 0
    if match is None or port > _MAX_PORT:
        raise ValueError(
            "it should be origins separated by commas, such as "
            "https://chat.example.com,http://localhost:5173, each with a scheme, a host and at "
            "most a port, without a path or a slash at the end, a user name or a wildcard; or a "
            "single *"
        )
    is_default = port in (0, _DEFAULT_PORTS[match["scheme"]])
    return f"{match['scheme']}://{match['host']}" + ("" if is_default else f":{port}")


Origins = Annotated[
    tuple[str, ...],
    BeforeValidator(_origins),
    Variable("PARLEY_CORS_ORIGINS"),
    Field(
        description="the origins whose pages in a browser may call the API, such as "
        "https://chat.example.com,http://localhost:5173; * for all of them"
    ),
]
