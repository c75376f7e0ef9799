"""The values that events are made of, of whatever stream."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]


class Value(BaseModel):
    # Unknown fields are kept: a consumer that re-encodes an event of a later minor change must not
    # lose what it does not understand.
    model_config = ConfigDict(
        frozen=True, extra="allow", ser_json_bytes="base64", val_json_bytes="base64"
    )


class Actor(Value):
    """Who caused an event: a person in a tenant, or Parley itself (`system`)."""

    tenant: str
    user: str
    system: bool = False


class Usage(Value):
    """Tokens that the model server counted, or that Parley estimated for a stream cut short."""

    prompt_tokens: Count
    completion_tokens: Count
    estimated: bool = False


class Price(Value):
    """The price applied to a reply, in micro-units of `currency` per million tokens."""

    currency: str
    prompt: Count
    completion: Count


class ForkPoint(Value):
    """The message of another session up to which a session is its copy."""

    session_id: UUID
    message_id: UUID
