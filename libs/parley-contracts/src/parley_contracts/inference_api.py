"""Bodies of the inference service's internal API."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct


class StreamTurnRequest(Struct):
    """`POST /turns/{id}/stream`; `after` is the position in the reply from which to stream."""

    session_id: UUID
    after: Annotated[int, Meta(ge=0)]
