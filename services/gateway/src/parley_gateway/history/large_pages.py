"""Sends large pages in pieces, and limits how many of them wait for slow clients."""

from functools import partial

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from parley_core.auth.principal import Principal
from parley_core.http.person_limit import PersonLimit
from parley_gateway.history.page_cache import MAX_ENTRY_BYTES
from parley_gateway.http.asgi_response import ASGIResponse

# A page has at most 4 MiB of messages as they are stored, which is encrypted JSON: escapes count.
# Other fields add less than a kilobyte a message, and a page has 100. Clients that read slowly, or
# not at all, keep it in memory. `ReadSlots` bounds the pages that are not yet responses.
MAX_LARGE_PAGES, MAX_PERSON_SHARE = 64, 0.2
_PIECE_BYTES = 64 * 1024


class LargePages:
    def __init__(self) -> None:
        self._limit = PersonLimit(
            MAX_LARGE_PAGES,
            MAX_PERSON_SHARE,
            things="large pages",
            person_code="too_many_large_pages",
            busy_code="gateway_busy",
        )

    def limited(self, response: Response, principal: Principal) -> Response:
        """A response that is too large for the page cache is sent within the limits."""
        if len(response.body) <= MAX_ENTRY_BYTES:
            return response
        return ASGIResponse(partial(self._send, response, principal))

    async def _send(
        self, response: Response, principal: Principal, scope: Scope, _: Receive, send: Send
    ) -> None:
        with self._limit.slot(principal):
            headers = response.raw_headers
            await send(
                {"type": "http.response.start", "status": response.status_code, "headers": headers}
            )
            body = memoryview(b"" if scope["method"] == "HEAD" else response.body)
            # Each piece waits until the client has read most of those before it.
            for start in range(0, len(body), _PIECE_BYTES):
                piece = bytes(body[start : start + _PIECE_BYTES])
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
