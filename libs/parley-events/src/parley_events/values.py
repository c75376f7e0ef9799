"""Value objects shared by the events of all streams."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

MAX_COUNT = 2**31 - 1
"""Largest count that an event may carry: projections store counts as 32-bit integers."""
MAX_PRICE = 2**53
"""Largest price: JSON readers in every language represent it exactly."""
MAX_NAME_LENGTH = 255
"""Code points of a name or id. Postgres can index two of them together (2,704 bytes)."""

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
MicroUnits = Annotated[int, Field(ge=0, le=MAX_PRICE)]

Instant = Annotated[
    AwareDatetime,
    Field(gt=datetime.min.replace(tzinfo=UTC), lt=datetime.max.replace(tzinfo=UTC)),
]
"""A time that every projection can store: the extremes are stored as infinite by asyncpg."""

# Postgres cannot store U+0000 in a text.
_STORABLE = "^[^\\x00]*$"

Text = Annotated[str, Field(pattern=_STORABLE)]
"""Text that every projection can store."""
Name = Annotated[str, Field(max_length=MAX_NAME_LENGTH, pattern=_STORABLE)]
"""A name or id that every projection can store and index."""


class Value(BaseModel):
    # Unknown fields are preserved: a consumer that re-encodes an event of a newer version must not
    # lose them.
    model_config = ConfigDict(
        frozen=True, extra="allow", ser_json_bytes="base64", val_json_bytes="base64"
    )


class Actor(Value):
    """The cause of an event: a user of a tenant, or Parley itself (`system`)."""

    tenant: Name
    user: Name
    system: bool = False


class Usage(Value):
    """Token counts from the model server, or `estimated` by Parley for an interrupted stream."""

    prompt_tokens: Count
    completion_tokens: Count
    estimated: bool = False


class Price(Value):
    """The price applied to a reply, in micro-units of `currency` per million tokens."""

    currency: Name
    prompt: MicroUnits
    completion: MicroUnits


class ForkPoint(Value):
    """The message of another session up to which a fork copied it."""

    session_id: UUID
    message_id: UUID
