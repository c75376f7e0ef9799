"""State of an assistant, as a fold of its events."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from parley_events.assistant import AssistantDefinition, AssistantEvent, AssistantRetired
from parley_session.domain.session.state import BrokenStream


@dataclass(frozen=True, slots=True)
class Definition:
    """Name, description, instructions and model; None is the default model."""

    name: str
    description: str
    instructions: str
    model: str | None = None
    default: bool = False


@dataclass(frozen=True, slots=True)
class DefinedAssistant:
    """`sequence` is that of the last event, `version` that of the last definition.

    An assistant without a tenant is shared by all.
    """

    stream_id: UUID
    tenant: str | None
    id: str
    definition: Definition
    version: int
    retired: bool
    sequence: int
    last_event_id: UUID
    changed_at: datetime


def fold_assistant(events: Iterable[AssistantEvent]) -> DefinedAssistant | None:
    """Return the assistant after events of which the first is a definition; None without any."""
    assistant: DefinedAssistant | None = None
    for event in events:
        assistant = evolve_assistant(assistant, event)
    return assistant


def evolve_assistant(assistant: DefinedAssistant | None, event: AssistantEvent) -> DefinedAssistant:
    """Return the assistant after `event`. Raises BrokenStream if it cannot be the next one."""
    if isinstance(event.data, AssistantDefinition):
        return _defined(event, event.data)
    if assistant is None or event.sequence != assistant.sequence + 1:
        raise BrokenStream(f"event {event.sequence} of assistant {event.stream_id} is out of order")
    return replace(
        assistant,
        # An unknown event of a later version advances the sequence without effect.
        retired=assistant.retired or isinstance(event.data, AssistantRetired),
        sequence=event.sequence,
        last_event_id=event.id,
        changed_at=event.time,
    )


def _defined(event: AssistantEvent, data: AssistantDefinition) -> DefinedAssistant:
    return DefinedAssistant(
        stream_id=event.stream_id,
        tenant=data.tenant,
        id=data.assistant_id,
        definition=Definition(
            name=data.name,
            description=data.description,
            instructions=data.instructions,
            model=data.model,
            default=data.default,
        ),
        version=event.sequence,
        retired=False,
        sequence=event.sequence,
        last_event_id=event.id,
        changed_at=event.time,
    )
