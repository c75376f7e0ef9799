"""Responses with files of the chat page: content coding, caching and security headers."""

from collections.abc import Collection

from starlette.requests import Request
from starlette.responses import Response

from parley_gateway.page.page_files import SUFFIX_BY_CODING, PageFile

# The page has no inline script or style and sets no HTML from text, so it needs no nonce. Its one
# Trusted Types policy starts the workers that highlight and parse. Images of other origins would
# carry text out: none is loaded.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types parley",
    )
)
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
IMMUTABLE = "public, max-age=31536000, immutable"
# A 304 is cheap, and `no-store` would disable the back/forward cache.
REVALIDATED = "no-cache"


def file_response(request: Request, file: PageFile) -> Response:
    """200 in the best coding that the client accepts, or 304."""
    coding = best_coding(request.headers.get("accept-encoding", ""), file.bodies)
    etag = f'"{file.digest}-{coding}"'
    headers = {
        **SECURITY_HEADERS,
        "cache-control": IMMUTABLE if file.is_immutable else REVALIDATED,
        "etag": etag,
        "vary": "accept-encoding",
    }
    if etag in _etags(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    if coding != "identity":
        headers["content-encoding"] = coding
    return Response(file.bodies[coding], headers=headers, media_type=file.media_type)


def best_coding(accept_encoding: str, available: Collection[str]) -> str:
    """The available coding of the highest quality (RFC 9110, section 12.5.3), else identity."""
    qualities: dict[str, float] = {}
    for element in accept_encoding.lower().split(","):
        name, _, parameter = element.partition(";")
        qualities[name.strip()] = _quality(parameter)
    fallback = qualities.get("*", 0.0)
    candidates = [coding for coding in SUFFIX_BY_CODING if coding in available]
    best = max(candidates, key=lambda each: qualities.get(each, fallback), default="identity")
    return best if qualities.get(best, fallback) > 0 else "identity"


def _quality(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def _etags(if_none_match: str) -> set[str]:
    return {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
