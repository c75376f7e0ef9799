"""How one service calls another: one shared aiohttp session, a signed principal, bounded waits."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import aiohttp
import msgspec

from parley_core.auth.principal import InternalSecret, Principal
from parley_core.auth.principal_token_cache import PrincipalSigner
from parley_core.http.errors import REQUEST_ID, ParleyError, Unavailable

# Below the 75 s after which `server` closes an idle connection, so that none is reused too late.
KEEP_ALIVE_SECONDS = 30
CONNECT_SECONDS = 2
IDEMPOTENCY_KEY = "idempotency-key"
_PIECE_BYTES = 1024 * 1024
_CONNECTS = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS)
_BROKEN = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError)

_log = logging.getLogger(__name__)


def http_session() -> aiohttp.ClientSession:
    """The process's one session for calls to other services; the caller closes it."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS)
    return aiohttp.ClientSession(
        connector=connector,
        # Bytes are passed on as they come, so none may come compressed.
        auto_decompress=False,
        headers={"accept-encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer, its body undecoded: most of them are only passed on."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ServiceError(ParleyError):
    """The error that another service answered, passed on as it is."""

    def __init__(self, status: int, error: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        super().__init__(error["message"], param=error.get("param"), headers=headers)
        self.status = status  # type: ignore[misc]
        self.type = error["type"]  # type: ignore[misc]
        self.code = error["code"]


class ServiceClient:
    """Calls one service in the name of `caller`.

    `service_principal` is for calls that no person makes (a heartbeat, the end of a turn).
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        *,
        caller: str,
        callee: str,
        secret: InternalSecret,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._http, self._url = http, url.rstrip("/")
        self._caller, self._callee, self._clock = caller, callee, clock
        self._tokens = PrincipalSigner(secret, issuer=caller, audience=callee)
        self.service_principal = Principal(tenant="parley", user=caller)

    async def call(
        self,
        method: str,
        path: str,
        *,
        principal: Principal,
        request_id: str,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10,
    ) -> Answer:
        """One request and its whole answer, within `timeout` seconds.

        A call with an idempotency key whose connection breaks is made once more, as aiohttp does
        with those that are idempotent by their method. Raises Relayed with the other service's
        error, or Unavailable when it could not answer.
        """
        sent = self._headers(principal, request_id, body, headers)
        try:
            async with asyncio.timeout(timeout):
                try:
                    answer = await self._answered(method, path, body, query, sent)
                except _BROKEN:
                    if IDEMPOTENCY_KEY not in sent:
                        raise
                    # It came from a replica that was ending; the same address has others.
                    answer = await self._answered(method, path, body, query, sent)
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise self._unreachable() from None
        if answer.status >= 300:
            raise self._relayed(answer)
        return answer

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        principal: Principal,
        request_id: str,
        body: bytes | None = None,
        silence: float,
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """An answer read as it comes; broken off after `silence` seconds without a byte.

        Raises as `call` does. What breaks later raises aiohttp.ClientError or TimeoutError.
        """
        limits = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=silence)
        sent = self._headers(principal, request_id, body, None)
        try:
            response = await self._http.request(
                method,
                self._url + path,
                data=_sent(body),
                headers=sent,
                timeout=limits,
                allow_redirects=False,
            )
            refusal = await _whole(response) if response.status >= 300 else None
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise self._unreachable() from None
        async with response:
            if refusal is not None:
                raise self._relayed(refusal)
            yield response.content

    async def _answered(
        self,
        method: str,
        path: str,
        body: bytes | None,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
    ) -> Answer:
        async with self._http.request(
            method,
            self._url + path,
            data=_sent(body),
            params=query,
            headers=headers,
            timeout=_CONNECTS,
            allow_redirects=False,
        ) as response:
            return await _whole(response)

    def _headers(
        self,
        principal: Principal,
        request_id: str,
        body: bytes | None,
        others: Mapping[str, str] | None,
    ) -> dict[str, str]:
        token = self._tokens.of(principal, self._clock())
        headers = {**(others or {}), "authorization": f"Bearer {token}", REQUEST_ID: request_id}
        if body is not None:
            headers["content-type"] = "application/json"
        return headers

    def _unreachable(self) -> Unavailable:
        return Unavailable(
            f"The {self._callee} service cannot be reached; try again.",
            code=f"{self._callee}_unavailable",
        )

    def _relayed(self, answer: Answer) -> ParleyError:
        if answer.status == 401:
            # It refused this process, not the person, whose own token must not look refused.
            _log.error("%s refuses the principal tokens of %s", self._callee, self._caller)
            return self._unreachable()
        try:
            error = msgspec.json.decode(answer.body)["error"]
            kept = {
                name: answer.headers[name]
                for name in ("retry-after", "x-should-retry")
                if name in answer.headers
            }
            return ServiceError(answer.status, error, kept)
        except (ValueError, KeyError, TypeError):
            return self._unreachable()


def _sent(body: bytes | None) -> bytes | BytesIO | None:
    # Bytes of over a megabyte would be sent in one piece, which keeps everybody else waiting.
    return BytesIO(body) if body is not None and len(body) > _PIECE_BYTES else body


async def _whole(response: aiohttp.ClientResponse) -> Answer:
    return Answer(response.status, response.headers, await response.read())
