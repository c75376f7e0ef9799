"""The events of the `assistant` stream: which assistants there are, and what each is told.

One stream for each assistant, of its tenant and id. Nothing here is sealed: administrators wrote
it, and it says nothing of any conversation.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, get_args
from uuid import UUID, uuid5

from parley_events.session import UnknownEvent
from parley_events.values import Actor, Value

_STREAMS = UUID("6a1d3d51-5d0c-4c6e-9a0f-0d3d0f3c3b7e")


class AssistantEventData(Value):
    """What every event of an assistant carries; one without a tenant is every tenant's."""

    TYPE: ClassVar[str]

    actor: Actor
    request_id: str
    assistant_id: str
    tenant: str | None = None


class AssistantDefinition(AssistantEventData):
    """All that there is to say of an assistant; without a model it has the installation's."""

    name: str
    description: str
    model: str | None = None
    instructions: str
    default: bool = False


class AssistantDefined(AssistantDefinition):
    """There is a new assistant; always the first event of its stream."""

    TYPE = "parley.assistant.assistant_defined.v1"


class AssistantRevised(AssistantDefinition):
    """The assistant is another one from this version on, as a whole, and not retired."""

    TYPE = "parley.assistant.assistant_revised.v1"


class AssistantRetired(AssistantEventData):
    """No session may be started with the assistant; those that it has go on."""

    TYPE = "parley.assistant.assistant_retired.v1"


KnownAssistantData = AssistantDefined | AssistantRevised | AssistantRetired

ASSISTANT_DATA_BY_TYPE: dict[str, type[KnownAssistantData]] = {
    data.TYPE: data for data in get_args(KnownAssistantData)
}


@dataclass(frozen=True, slots=True)
class AssistantEvent:
    """One event at its place in the stream of an assistant.

    `sequence` counts from 1 without a gap and is the version of what was defined there; `id` is a
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
    """The id of an assistant's stream: the same for the same tenant (or none) and id."""
    # An assistant's id has no line break.
    return uuid5(_STREAMS, f"{assistant_id}\n{tenant or ''}")
