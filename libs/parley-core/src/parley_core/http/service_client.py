"""HTTP client for calls between services: pooled connections, principal tokens, timeouts."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from time import perf_counter
from typing import cast

import aiohttp
import msgspec

from parley_core.auth.principal import Principal, service_principal
from parley_core.auth.principal_token_cache import (
    PrincipalSigner,
    PseudonymOf,
    received_pseudonym,
)
from parley_core.auth.request_origin import origin_headers
from parley_core.auth.service_keys import SigningKey
from parley_core.http.errors import (
    REQUEST_ID,
    ParleyError,
    ServiceError,
    Unavailable,
    service_unavailable,
)
from parley_core.http.service_auth import SERVICE_NOT_ALLOWED
from parley_core.process.process_monitor import ProcessMonitor
from parley_core.process.request_metrics import CallOutcome
from parley_core.tls.tls_failures import TlsFailureLog
from parley_core.tls.tls_settings import TlsSettings
from parley_core.tracing.spans import (
    NO_SPAN,
    Span,
    is_tracing,
    server_attributes,
    span,
    trace_headers,
)

# Shorter than the 75 s after which `server` closes an idle connection, and than the lame duck of
# 10 s that a deployment sets: none is reused too late.
KEEP_ALIVE_SECONDS = 8
CONNECT_SECONDS = 2
IDEMPOTENCY_KEY = "idempotency-key"
_STREAMED_BODY_BYTES = 1024 * 1024
_CONNECT_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS)
# Of an error: when to retry, and the limit that is reached.
_FORWARDED_HEADERS = (
    *("retry-after", "retry-after-ms", "x-should-retry"),
    *(f"x-ratelimit-{each}-tokens" for each in ("limit", "remaining", "reset")),
)
_CONNECTION_ERRORS = (
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientOSError,
    aiohttp.ClientPayloadError,
)

_log = logging.getLogger(__name__)


def http_session() -> aiohttp.ClientSession:
    """Create the one session that a process uses for its calls; the caller closes it."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS)
    return aiohttp.ClientSession(
        connector=connector,
        # Bodies are forwarded as bytes, so they must not be compressed.
        auto_decompress=False,
        headers={"accept-encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
    )


@dataclass(frozen=True, slots=True)
class ServiceResponse:
    """A successful response with an undecoded body: most bodies are only forwarded."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ServiceClient:
    """Calls the service `callee` as the service of the signing key, on behalf of a principal.

    `service_principal` is for calls on nobody's behalf (a heartbeat, the end of a turn).
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        *,
        callee: str,
        key: SigningKey,
        monitor: ProcessMonitor | None = None,
        tls: TlsSettings | None = None,
        pseudonym_of: PseudonymOf = received_pseudonym,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._http, self._url = http, url.rstrip("/")
        self._caller, self._callee, self._clock = key.service, callee, clock
        self._monitor, self._tls = monitor, tls or TlsSettings()
        self._tls_failures = TlsFailureLog(callee)
        self._server = server_attributes(url)
        self._tokens = PrincipalSigner(key, audience=callee, pseudonym_of=pseudonym_of)
        self.service_principal = service_principal(key.service)

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
    ) -> ServiceResponse:
        """Send a request and read the whole response, within `timeout` seconds.

        A refused connection is tried once more. When one breaks, a call with an idempotency key is
        repeated once, as aiohttp does for idempotent methods. Raises ServiceError with the error of
        the other service, or Unavailable when it did not respond.
        """
        with self._observed(method) as hop:
            request_headers = self._headers(principal, request_id, body, headers)
            try:
                async with asyncio.timeout(timeout):
                    try:
                        response = await self._request(method, path, body, query, request_headers)
                    except _CONNECTION_ERRORS as error:
                        # A refused connection was tried twice already.
                        refused = isinstance(error, aiohttp.ClientConnectorError)
                        if refused or IDEMPOTENCY_KEY not in request_headers:
                            raise
                        # Its replica may be shutting down; other replicas share the address.
                        response = await self._request(method, path, body, query, request_headers)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise self._unreachable(error) from None
            if hop.recording:
                hop.set({"http.response.status_code": response.status})
            if response.status >= 300:
                raise self._error_of(response)
            return response

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        principal: Principal,
        request_id: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        idle_timeout: float,
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """Stream a response; its reads time out after `idle_timeout` seconds without a byte.

        Its head must arrive within that time, however many 1xx responses come before it. Raises
        as `call` does; errors while reading are aiohttp.ClientError or TimeoutError.
        """
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=idle_timeout)
        with self._observed(method) as hop:
            request_headers = self._headers(principal, request_id, body, headers)
            try:
                async with asyncio.timeout(idle_timeout):
                    response = await self._send(method, path, body, None, request_headers, timeout)
                    is_error = response.status >= 300
                    error_response = await _read_response(response) if is_error else None
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise self._unreachable(error) from None
            if hop.recording:
                hop.set({"http.response.status_code": response.status})
            if error_response is not None:
                async with response:
                    raise self._error_of(error_response)
        async with response:
            yield response.content

    @contextmanager
    def _observed(self, method: str) -> Iterator[Span]:
        """Record how long a call took and whether the other service answered it."""
        started_at, outcome = perf_counter(), cast(CallOutcome | None, None)
        try:
            # Of a stream, until its response begins: the spans of the services show the rest.
            with self._span(method) as hop:
                yield hop
            outcome = "ok"
        except ServiceError:
            outcome = "error"
            raise
        except Unavailable:
            outcome = "unavailable"
            raise
        finally:
            if self._monitor is not None and outcome is not None:  # None: cancelled by the caller.
                seconds = perf_counter() - started_at
                self._monitor.requests.observe_call(self._callee, outcome, seconds)
                self._monitor.dependencies[self._callee].report(outcome != "unavailable")

    def _span(self, method: str) -> Span:
        if not is_tracing():
            return NO_SPAN
        attributes = {**self._server, "http.request.method": method}
        return span(f"{method} {self._callee}", "client", attributes)

    async def _request(
        self,
        method: str,
        path: str,
        body: bytes | None,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
    ) -> ServiceResponse:
        request = self._send(method, path, body, query, headers, _CONNECT_TIMEOUT)
        async with await request as response:
            return await _read_response(response)

    async def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        def send() -> Awaitable[aiohttp.ClientResponse]:
            return self._http.request(
                method,
                self._url + path,
                data=_request_body(body),
                params=query,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                ssl=self._tls.client,
            )

        try:
            return await send()
        except aiohttp.ClientConnectorError:
            # Nothing was sent. A replica may have ended; others share the address.
            return await send()

    def _headers(
        self,
        principal: Principal,
        request_id: str,
        body: bytes | None,
        extra: Mapping[str, str] | None,
    ) -> dict[str, str]:
        token = self._tokens.token_for(principal, self._clock())
        headers = {
            **(extra or {}),
            **trace_headers(),
            **origin_headers(principal),
            "authorization": f"Bearer {token}",
            REQUEST_ID: request_id,
        }
        if body is not None:
            headers["content-type"] = "application/json"
        return headers

    def _unreachable(self, error: Exception | None = None) -> Unavailable:
        self._tls_failures.report(error)
        return service_unavailable(self._callee)

    def _error_of(self, response: ServiceResponse) -> ParleyError:
        # The service rejected this process, not the user, whom a 401 or 403 would blame.
        if response.status == 401:
            _log.error("%s rejects the principal tokens of %s", self._callee, self._caller)
            return self._unreachable()
        try:
            error = msgspec.json.decode(response.body)["error"]
            if error["code"] == SERVICE_NOT_ALLOWED:
                _log.error("%s does not let %s make this call", self._callee, self._caller)
                return self._unreachable()
            sent = response.headers
            headers = {name: sent[name] for name in _FORWARDED_HEADERS if name in sent}
            return ServiceError(response.status, error, headers)
        except (ValueError, KeyError, TypeError):
            return self._unreachable()


def _request_body(body: bytes | None) -> bytes | BytesIO | None:
    # aiohttp writes bytes in one piece: over a megabyte of them would block the event loop.
    return BytesIO(body) if body is not None and len(body) > _STREAMED_BODY_BYTES else body


async def _read_response(response: aiohttp.ClientResponse) -> ServiceResponse:
    return ServiceResponse(response.status, response.headers, await response.read())
