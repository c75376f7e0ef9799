"""A page of history as an HTTP answer: whole, or 304 to whoever holds it already (RFC 9110)."""

import re
from uuid import UUID

from starlette.types import Message

from parley_gateway.history.page_cache import Page

_ETAG = re.compile(r'W/"([0-9]{1,10})"', re.ASCII)
_PRIVATE = (b"cache-control", b"private, no-cache")


def page_of(session_id: UUID, body: bytes, etag: str | None) -> Page | None:
    """None where history names no version."""
    named = _ETAG.fullmatch(etag or "")
    if etag is None or named is None:
        return None
    tag = etag.encode()
    headers = (
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"etag", tag),
        _PRIVATE,
    )
    return Page(session_id, int(named[1]), body, tag, headers)


def is_not_modified(page: Page, if_none_match: bytes) -> bool:
    """Whether the client's If-None-Match names the page; weakly compared (section 13.1.2)."""
    if not if_none_match:
        return False
    if if_none_match == page.etag:
        return True
    strong = page.etag.removeprefix(b"W/")
    named = (tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b","))
    return if_none_match.strip() == b"*" or strong in named


def response_start(page: Page, held: bool, *more: tuple[bytes, bytes]) -> Message:
    headers = ((b"etag", page.etag), _PRIVATE) if held else page.headers
    return {
        "type": "http.response.start",
        "status": 304 if held else 200,
        "headers": [*headers, *more],
    }
