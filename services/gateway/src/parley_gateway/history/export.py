"""Streams exports of any size from history to the client."""

import asyncio
import logging
from functools import partial
from typing import Literal
from uuid import UUID

import aiohttp
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from parley_contracts.session_api.audit_bodies import ReadAction
from parley_core.auth.caller import Caller
from parley_core.http.request_lifetime import RequestLifetime, no_handover
from parley_core.http.service_client import ServiceClient
from parley_gateway.audit.recorded_reads import RecordedReads
from parley_gateway.history.version_lookup import VersionLookup
from parley_gateway.http.asgi_response import ASGIResponse
from parley_gateway.http.stream_limiter import StreamLimiter

log = logging.getLogger(__name__)

Format = Literal["json", "markdown"]

_MEDIA = {"json": ("application/json", "json"), "markdown": ("text/markdown; charset=utf-8", "md")}


class Exporter:
    """A response that breaks off is left unfinished, so that the client notices."""

    def __init__(
        self,
        history: ServiceClient,
        versions: VersionLookup,
        streams: StreamLimiter,
        reads: RecordedReads,
        *,
        idle_timeout_seconds: float,
    ) -> None:
        self._history, self._versions, self._streams = history, versions, streams
        self._reads = reads
        self._idle_timeout_seconds = idle_timeout_seconds

    def export_all(self, caller: Caller, format: Format) -> Response:
        return self._response(f"/export?format={format}", caller, format, None)

    async def export_session(self, session_id: UUID, caller: Caller, format: Format) -> Response:
        # Clients store the file: one without the latest write would mislead.
        version = await self._versions.current(session_id)
        path = f"/sessions/{session_id}/export?format={format}&min_version={version}"
        return self._response(path, caller, format, session_id)

    def _response(
        self, path: str, caller: Caller, format: Format, session_id: UUID | None
    ) -> Response:
        return ASGIResponse(partial(self._send, path, caller, format, session_id))

    async def _send(
        self,
        path: str,
        caller: Caller,
        format: Format,
        session_id: UUID | None,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        headers = _headers(format, "parley" if session_id is None else f"parley-{session_id}")
        async with (
            self._streams.slot(caller.principal, "export") as stop,
            self._history.stream(
                "GET",
                path,
                principal=caller.principal,
                request_id=caller.request_id,
                idle_timeout=self._idle_timeout_seconds,
            ) as upstream,
        ):
            # History has agreed: the export of another person's session is a refusal.
            await self._reads.record(caller, _action(session_id), session_id)
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if scope["method"] == "HEAD":
                await send(_END)
                return
            relay = asyncio.create_task(_relay(upstream, send))
            reason = await RequestLifetime(receive, stop, no_handover()).supervise(
                relay, handover_timeout=0
            )
            if reason == "done" and relay.result():
                await send(_END)


async def _relay(upstream: aiohttp.StreamReader, send: Send) -> bool:
    """Whether the export is complete."""
    try:
        while received := await upstream.readany():
            await send({"type": "http.response.body", "body": received, "more_body": True})
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        log.warning("export interrupted: %s", type(error).__name__)
        return False
    return True


def _action(session_id: UUID | None) -> ReadAction:
    return "sessions.exported" if session_id is None else "session.exported"


def _headers(format: Format, name: str) -> list[tuple[bytes, bytes]]:
    media_type, extension = _MEDIA[format]
    return [
        (b"content-type", media_type.encode()),
        (b"content-disposition", f'attachment; filename="{name}.{extension}"'.encode()),
        (b"cache-control", b"no-store"),
    ]


_END = {"type": "http.response.body", "body": b""}
