"""Value objects shared by the events of all streams."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]


class Value(BaseModel):
    # Unknown fields are preserved: a consumer that re-encodes an event of a newer version must not
    # lose them.
    model_config = ConfigDict(
        frozen=True, extra="allow", ser_json_bytes="base64", val_json_bytes="base64"
    )


class Actor(Value):
    """The cause of an event: a user of a tenant, or Parley itself (`system`)."""

    tenant: str
    user: str
    system: bool = False


class Usage(Value):
    """Token counts from the model server, or `estimated` by Parley for an interrupted stream."""

    prompt_tokens: Count
    completion_tokens: Count
    estimated: bool = False


class Price(Value):
    """The price applied to a reply, in micro-units of `currency` per million tokens."""

    currency: str
    prompt: Count
    completion: Count


class ForkPoint(Value):
    """The message of another session up to which a fork copied it."""

    session_id: UUID
    message_id: UUID
