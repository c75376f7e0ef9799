"""HTTP response that streams an export as a file download."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from parley_core.http.errors import ParleyError
from parley_history.queries.export.export_sessions import ExportInterrupted
from parley_history.queries.export.formats import FormatName
from parley_history.storage.database_errors import DATABASE_ERRORS

log = logging.getLogger(__name__)

_INTERRUPTIONS: tuple[type[Exception], ...] = (ExportInterrupted, ParleyError, *DATABASE_ERRORS)
_MEDIA_TYPES: Mapping[FormatName, str] = {
    "json": "application/json",
    "markdown": "text/markdown",
}
_EXTENSIONS: Mapping[FormatName, str] = {"json": "json", "markdown": "md"}


async def file_response(
    chunks: AsyncGenerator[bytes], format_name: FormatName, file_stem: str
) -> Response:
    """Wait for the first chunk, so that its errors still become error responses."""
    first = await anext(chunks)
    disposition = f'attachment; filename="{file_stem}.{_EXTENSIONS[format_name]}"'
    headers = {"content-disposition": disposition, "cache-control": "no-store"}
    return _FileResponse(first, chunks, media_type=_MEDIA_TYPES[format_name], headers=headers)


async def _prepend(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in others:
        yield chunk


class _FileResponse(StreamingResponse):
    """Omits the end of an interrupted body, so that the server closes the connection.

    The chunks are closed with the response: their export counts against the limit until then.
    """

    def __init__(
        self,
        first: bytes,
        others: AsyncGenerator[bytes],
        *,
        media_type: str,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(_prepend(first, others), media_type=media_type, headers=headers)
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except _INTERRUPTIONS as error:
            # Only the class: the message of a database error may quote a row.
            log.warning("export interrupted: %s", type(error).__name__)
        finally:
            await self._others.aclose()
