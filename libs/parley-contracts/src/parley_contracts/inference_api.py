"""Bodies of the inference service's internal API."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

COMPLETION_ID_HEADER = "parley-completion-id"
"""Of `POST /completions`: the id for which session has reserved a budget."""


class StreamTurnRequest(Struct):
    """`POST /turns/{id}/stream`; `after` is the position in the reply from which to stream."""

    session_id: UUID
    after: Annotated[int, Meta(ge=0)]
