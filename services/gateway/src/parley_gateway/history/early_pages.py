"""Answers repeated requests for cached history pages before they are parsed (ADR 30).

A request is remembered when the page cache has answered it; the next one with the same bytes has
the same answer, as long as its token is verified and its page is at the session's version.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import getrandbits
from time import perf_counter
from uuid import UUID

from cachetools import LRUCache

from parley_core.auth.principal import Principal
from parley_core.http.errors import REQUEST_ID
from parley_core.http.protocol.early_responses import Respond
from parley_gateway.auth.token_cache import VerifiedTokenCache
from parley_gateway.history.conditional_get import page_bytes
from parley_gateway.history.page_cache import Page, PageCache
from parley_gateway.history.version_lookup import VersionLookup

PATH = "/v1/history/"

MAX_REMEMBERED_BYTES = 8 * 1024 * 1024
# The overhead of a request beside its path, query and tag: measured, rounded up.
_OVERHEAD_BYTES = 640

_REQUEST_ID = REQUEST_ID.encode()


@dataclass(frozen=True, slots=True)
class RememberedRequest:
    """The parts of a request for a page, with the digest of its Authorization header."""

    token_digest: bytes
    path: bytes
    query: bytes
    if_none_match: bytes


_Waiting = tuple[Page, bytes, Principal, float, Respond]
"""The cached page, the `If-None-Match` of the request, its person and time, and how to respond."""


class EarlyPages:
    """`versions` is called once the application has started."""

    prefix = b"GET " + PATH.encode()

    def __init__(
        self,
        pages: PageCache,
        tokens: VerifiedTokenCache,
        versions: Callable[[], VersionLookup],
        record_hit: Callable[[float], None],
        count_request: Callable[[Principal], Mapping[str, str] | None],
    ) -> None:
        """`record_hit` is called with the duration of each response, in seconds.

        `count_request` counts a request towards the limits of a person, and returns the headers
        that show them; None if it does not admit the request at once.
        """
        self._pages, self._tokens, self._versions = pages, tokens, versions
        self._record_hit, self._count_request = record_hit, count_request
        # By digest, so that a memory dump contains no usable token.
        self._requests: LRUCache[bytes, RememberedRequest] = LRUCache(
            MAX_REMEMBERED_BYTES, getsizeof=_memory_bytes
        )
        self._waiting: dict[UUID, list[_Waiting]] = {}
        self._answering: asyncio.Task[None] | None = None

    def remember(self, request: bytes, remembered: RememberedRequest) -> None:
        self._requests[_digest(request)] = remembered

    def respond(self, request: bytes, respond: Respond) -> bool:
        remembered = self._requests.get(_digest(request))
        if remembered is None:
            return False
        verified = self._tokens.find(remembered.token_digest)
        if verified is None:
            return False
        page = self._pages.get((verified.owner, remembered.path, remembered.query))
        if page is None:
            return False
        person = verified.principal
        waiting = (page, remembered.if_none_match, person, perf_counter(), respond)
        self._waiting.setdefault(page.session_id, []).append(waiting)
        if self._answering is None:
            self._answering = asyncio.get_running_loop().create_task(self._answer())
        return True

    async def _answer(self) -> None:
        """Look up the versions for the requests of one turn of the event loop, then the next."""
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, {}
                lookups = [self._answer_session(each, batch[each]) for each in batch]
                # After an error the application answers, and runs into the same one.
                await asyncio.gather(*lookups, return_exceptions=True)
        finally:
            self._answering = None

    async def _answer_session(self, session_id: UUID, waiting: Sequence[_Waiting]) -> None:
        version = None
        try:
            version = await self._versions().current(session_id)
        finally:
            for page, if_none_match, person, started_at, respond in waiting:
                is_current = version is not None and page.version >= version
                limits = self._count_request(person) if is_current else None
                if limits is None:
                    respond(None)
                    continue
                respond(_response(page, if_none_match, limits))
                self._record_hit(perf_counter() - started_at)


def _response(page: Page, if_none_match: bytes, limits: Mapping[str, str]) -> bytes:
    # Not of the system's randomness: a system call would be a tenth of the work.
    headers = b"%b: %032x\r\n" % (_REQUEST_ID, getrandbits(128))
    if limits:
        headers += "".join(f"{name}: {value}\r\n" for name, value in limits.items()).encode()
    return page_bytes(page, if_none_match, headers)


def _memory_bytes(request: RememberedRequest) -> int:
    return _OVERHEAD_BYTES + len(request.path) + len(request.query) + len(request.if_none_match)


def _digest(request: bytes) -> bytes:
    return hashlib.sha256(request).digest()
