"""Event types of the `assistant` stream: definitions of assistants.

Each assistant of a tenant has a stream. Nothing is sealed: administrators write these events, and
they contain no conversation.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, get_args
from uuid import UUID, uuid5

from parley_events.session import UnknownEvent
from parley_events.values import Actor, Name, Text, Value

_STREAMS = UUID("6a1d3d51-5d0c-4c6e-9a0f-0d3d0f3c3b7e")


class AssistantEventData(Value):
    """Fields common to all assistant events; without `tenant`, the assistant is shared by all."""

    TYPE: ClassVar[str]

    actor: Actor
    request_id: Name
    assistant_id: Name
    tenant: Name | None = None


class AssistantDefinition(AssistantEventData):
    """The full definition of an assistant; without `model`, the installation's default is used."""

    name: Name
    description: Text
    model: Name | None = None
    instructions: Text
    default: bool = False


class AssistantDefined(AssistantDefinition):
    """An assistant was created. Always the first event of its stream."""

    TYPE = "parley.assistant.assistant_defined.v1"


class AssistantRevised(AssistantDefinition):
    """The definition was replaced as a whole; a retired assistant is active again."""

    TYPE = "parley.assistant.assistant_revised.v1"


class AssistantRetired(AssistantEventData):
    """The assistant was retired: no new sessions; existing sessions continue."""

    TYPE = "parley.assistant.assistant_retired.v1"


KnownAssistantData = AssistantDefined | AssistantRevised | AssistantRetired

ASSISTANT_DATA_BY_TYPE: dict[str, type[KnownAssistantData]] = {
    data.TYPE: data for data in get_args(KnownAssistantData)
}


@dataclass(frozen=True, slots=True)
class AssistantEvent:
    """One event at its position in an assistant's stream.

    `sequence` counts from 1 without a gap and is the version of the definition; `id` is a
    UUIDv7 and `time` is in UTC, and both increase along the stream.
    """

    id: UUID
    stream_id: UUID
    sequence: int
    time: datetime
    data: KnownAssistantData | UnknownEvent

    @property
    def type(self) -> str:
        return self.data.type if isinstance(self.data, UnknownEvent) else self.data.TYPE


def assistant_stream(tenant: str | None, assistant_id: str) -> UUID:
    """Return the ID of an assistant's stream, derived from its tenant (or none) and ID."""
    # Unambiguous: an assistant's ID contains no line break.
    return uuid5(_STREAMS, f"{assistant_id}\n{tenant or ''}")
