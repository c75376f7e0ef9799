"""GET /v1/export and /v1/sessions/{session_id}/export: relayed as they come, of any size."""

import asyncio
import logging
from urllib.parse import urlencode

import aiohttp
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from parley_gateway.auth.authenticator import Caller
from parley_gateway.http.request_lifetime import RequestLifetime, no_handover
from parley_gateway.http.request_parsing import path_id, query_of
from parley_gateway.http.stream_limiter import StreamLimiter
from parley_gateway.parts import Parts
from parley_gateway.schemas.queries import ExportQuery
from parley_gateway.turns.limits import TurnLimits

log = logging.getLogger(__name__)

_FORMS = {"json": ("application/json", "json"), "markdown": ("text/markdown; charset=utf-8", "md")}


class ExportEndpoint:
    """An ASGI application. An answer that breaks off is not ended, so that a client can tell."""

    def __init__(self, parts: Parts, streams: StreamLimiter, limits: TurnLimits) -> None:
        self._parts, self._streams, self._limits = parts, streams, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        asker = await self._parts.authenticate(request)
        path, name, written = self._what(request, asker)
        form = query_of(request, ExportQuery).format
        with self._streams.one() as stop:
            async with self._parts.peers.history.stream(
                "GET",
                f"{path}?{urlencode({'format': form} | written)}",
                principal=asker.principal,
                request_id=asker.request_id,
                idle_timeout=self._limits.relay.silence,
            ) as upstream:
                await send({**_START, "headers": _headers(form, name)})
                if request.method == "HEAD":
                    await send(_END)
                    return
                relay = asyncio.create_task(_relay(upstream, send))
                ending = await RequestLifetime(receive, stop, no_handover()).during(
                    relay, hand_over_within=0
                )
                if ending == "done" and relay.result():
                    await send(_END)

    def _what(self, request: Request, asker: Caller) -> tuple[str, str, dict[str, str]]:
        """The path at history, what the file is named for, and what the asker wrote."""
        writes = self._parts.writes
        if "session_id" not in request.path_params:
            return "/export", "parley", writes.seen(asker.principal)
        session_id = path_id(request, "session_id")
        # A file is kept: one without what was written last would be a trap.
        written = writes.version(asker.principal, session_id)
        least = {"min_version": str(written)} if written else {}
        return f"/sessions/{session_id}/export", f"parley-{session_id}", least


async def _relay(upstream: aiohttp.StreamReader, send: Send) -> bool:
    """Whether it came to its end."""
    try:
        while received := await upstream.readany():
            await send({"type": "http.response.body", "body": received, "more_body": True})
    except (aiohttp.ClientError, TimeoutError, OSError) as trouble:
        log.warning("an export broke off: %s", type(trouble).__name__)
        return False
    return True


def _headers(form: str, name: str) -> list[tuple[bytes, bytes]]:
    kind, ending = _FORMS[form]
    return [
        (b"content-type", kind.encode()),
        (b"content-disposition", f'attachment; filename="{name}.{ending}"'.encode()),
        (b"cache-control", b"no-store"),
    ]


_START = {"type": "http.response.start", "status": 200}
_END = {"type": "http.response.body", "body": b""}
