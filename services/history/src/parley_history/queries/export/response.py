"""An export as the answer that a browser keeps as a file."""

import logging
from collections.abc import AsyncIterator, Mapping

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from parley_core.http.errors import ParleyError
from parley_history.queries.export.export_sessions import ExportInterrupted
from parley_history.queries.export.request import Form
from parley_history.storage.database_errors import DATABASE_TROUBLE

log = logging.getLogger(__name__)

_BREAKS_OFF: tuple[type[Exception], ...] = (ExportInterrupted, ParleyError, *DATABASE_TROUBLE)
_MEDIA_TYPES: Mapping[Form, str] = {"json": "application/json", "markdown": "text/markdown"}
_ENDINGS: Mapping[Form, str] = {"json": "json", "markdown": "md"}


async def file_of(pieces: AsyncIterator[bytes], form: Form, name: str) -> Response:
    """Raises what refuses the first piece: an answer that has begun can only break off."""
    first = await anext(pieces)
    disposition = f'attachment; filename="{name}.{_ENDINGS[form]}"'
    return _File(
        _whole(first, pieces),
        media_type=_MEDIA_TYPES[form],
        headers={"content-disposition": disposition, "cache-control": "no-store"},
    )


async def _whole(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in others:
        yield piece


class _File(StreamingResponse):
    """Left without an end where it breaks off: the server then cuts the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except _BREAKS_OFF as trouble:
            # Its class alone: a database's sentence may quote a row.
            log.warning("an export broke off: %s", type(trouble).__name__)
