"""What may be done with an assistant: an event, nothing new, or a refusal. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, assert_never
from uuid import UUID

from parley_events.assistant import (
    AssistantDefined,
    AssistantEvent,
    AssistantRetired,
    AssistantRevised,
    KnownAssistantData,
    assistant_stream,
)
from parley_events.uuid7 import uuid7_after
from parley_session.domain.assistant.errors import (
    AssistantAlreadyRetired,
    AssistantIdTaken,
    AssistantNotFound,
)
from parley_session.domain.assistant.state import DefinedAssistant, Definition
from parley_session.domain.session.event_builder import CommandMetadata


@dataclass(frozen=True, slots=True)
class DefineAssistant:
    """Where there was none of this id before.

    When this is perhaps asked for again, the same definition changes nothing.
    """

    definition: Definition
    again: bool = False


@dataclass(frozen=True, slots=True)
class ReviseAssistant:
    """New values of fields of the definition, by name; the others stay."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RetireAssistant:
    """Once is enough."""


@dataclass(frozen=True, slots=True)
class SeedAssistant:
    """Whatever there was: from now on there is this one."""

    definition: Definition


AssistantCommand = DefineAssistant | ReviseAssistant | RetireAssistant | SeedAssistant


def decide_assistant(
    tenant: str | None,
    assistant_id: str,
    assistant: DefinedAssistant | None,
    command: AssistantCommand,
    moment: CommandMetadata,
) -> AssistantEvent | None:
    """The event that the command makes; None when it changes nothing. Raises AssistantError."""
    common: dict[str, Any] = {
        "actor": moment.actor,
        "request_id": moment.request_id,
        "assistant_id": assistant_id,
        "tenant": tenant,
    }
    data = _data(assistant, command, common)
    if data is None:
        return None
    return _placed(assistant_stream(tenant, assistant_id), assistant, data, moment)


def _data(
    assistant: DefinedAssistant | None, command: AssistantCommand, common: dict[str, Any]
) -> KnownAssistantData | None:
    match command:
        case DefineAssistant(definition=definition):
            if assistant is None:
                return AssistantDefined(**common, **asdict(definition))
            if command.again and definition == assistant.definition and not assistant.retired:
                return None
            raise AssistantIdTaken
        case SeedAssistant(definition=definition):
            if assistant is None:
                return AssistantDefined(**common, **asdict(definition))
            if definition == assistant.definition and not assistant.retired:
                return None
            return AssistantRevised(**common, **asdict(definition))
        case ReviseAssistant(changes=changes):
            if assistant is None:
                raise AssistantNotFound
            if assistant.retired:
                raise AssistantAlreadyRetired
            revised = replace(assistant.definition, **changes)
            if revised == assistant.definition:
                return None
            return AssistantRevised(**common, **asdict(revised))
        case RetireAssistant():
            if assistant is None:
                raise AssistantNotFound
            return None if assistant.retired else AssistantRetired(**common)
        case other:
            assert_never(other)


def _placed(
    stream_id: UUID,
    assistant: DefinedAssistant | None,
    data: KnownAssistantData,
    moment: CommandMetadata,
) -> AssistantEvent:
    # A clock that went back must not turn the order round.
    time = max(assistant.changed_at, moment.now) if assistant else moment.now
    last_id = assistant.last_event_id if assistant else None
    return AssistantEvent(
        id=uuid7_after(last_id, int(time.timestamp() * 1000), moment.randomness),
        stream_id=stream_id,
        sequence=assistant.sequence + 1 if assistant else 1,
        time=time,
        data=data,
    )
