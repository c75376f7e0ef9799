"""Conditional GET of history pages: ETag, If-None-Match and 304 (RFC 9110)."""

import re
from uuid import UUID

from starlette.responses import Response
from starlette.types import Message

from parley_gateway.history.page_cache import Page, header_lines
from parley_gateway.http.security_headers import SECURITY_HEADERS

_ETAG = re.compile(r'W/"([0-9]{1,10})"', re.ASCII)
# Cached pages are sent without passing the middleware that adds security headers.
_COMMON = ((b"cache-control", b"private, no-cache"), *SECURITY_HEADERS)


def parse_page(session_id: UUID, body: bytes, etag: str | None) -> Page | None:
    """None when the response carries no version."""
    match = _ETAG.fullmatch(etag or "")
    if etag is None or match is None:
        return None
    tag = etag.encode()
    headers = (
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"etag", tag),
        *_COMMON,
    )
    return Page(session_id, int(match[1]), body, tag, headers)


def is_not_modified(page: Page, if_none_match: bytes) -> bool:
    """Whether If-None-Match names the page, by weak comparison (section 13.1.2)."""
    if not if_none_match:
        return False
    if if_none_match == page.etag:
        return True
    opaque_tag = page.etag.removeprefix(b"W/")
    tags = (tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b","))
    return if_none_match.strip() == b"*" or opaque_tag in tags


def page_response(page: Page, if_none_match: bytes) -> Response:
    not_modified = is_not_modified(page, if_none_match)
    response = Response(b"" if not_modified else page.body, 304 if not_modified else 200)
    response.raw_headers = list(_headers(page, not_modified))
    return response


def page_messages(
    page: Page, if_none_match: bytes, *more_headers: tuple[bytes, bytes]
) -> tuple[Message, Message]:
    """The response as ASGI messages."""
    not_modified = is_not_modified(page, if_none_match)
    return (
        {
            "type": "http.response.start",
            "status": 304 if not_modified else 200,
            "headers": [*_headers(page, not_modified), *more_headers],
        },
        {"type": "http.response.body", "body": b"" if not_modified else page.body},
    )


def page_bytes(page: Page, if_none_match: bytes, more_headers: bytes) -> bytes:
    """The response as an HTTP/1.1 message; `more_headers` are complete lines."""
    if is_not_modified(page, if_none_match):
        head = b"HTTP/1.1 304 Not Modified\r\n" + header_lines(_headers(page, True))
        return b"%b%b\r\n" % (head, more_headers)
    return b"%b%b\r\n%b" % (page.head, more_headers, page.body)


def _headers(page: Page, not_modified: bool) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"etag", page.etag), *_COMMON) if not_modified else page.headers
