"""Models of the events in the stream of a turn, for the OpenAPI document."""

from typing import Literal
from uuid import UUID

from parley_contracts.api_models import ErrorShape, Message, Shape, UsageShape


class TurnStarted(Shape):
    """The first event, `id: 0`: the message is committed.

    `stream_url` is a path on the same host that streams this turn without an Authorization header
    for 15 minutes.
    """

    type: Literal["turn.started"]
    sequence_number: int
    session_id: UUID
    turn_id: UUID
    message_id: UUID
    reply_id: UUID
    version: int
    stream_url: str


class ReplyDelta(Shape):
    """`sequence_number` is the number of code points of the reply up to the end of this `delta`."""

    type: Literal["reply.delta"]
    sequence_number: int
    delta: str


class ReplyEnded(Shape):
    """The last event, `id: end`: the reply is committed. `error` is the reason of a failed reply.

    A client that has received more than `sequence_number` code points truncates to that length.
    """

    type: Literal["reply.completed", "reply.failed", "reply.cancelled"]
    sequence_number: int
    turn_id: UUID
    message: Message
    version: int
    usage: UsageShape | None = None
    error: ErrorShape | None = None
