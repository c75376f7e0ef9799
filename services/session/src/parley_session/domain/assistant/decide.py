"""Decides commands on an assistant: an event, no change, or an AssistantError. Pure."""

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
    """Define an assistant with an unused id.

    With `allow_existing`, for a request that may be a retry, an equal definition is no error.
    """

    definition: Definition
    allow_existing: bool = False


@dataclass(frozen=True, slots=True)
class ReviseAssistant:
    """Change fields of the definition, by name."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RetireAssistant:
    """Retire the assistant; repeating it changes nothing."""


@dataclass(frozen=True, slots=True)
class SeedAssistant:
    """Define, revise or revive the assistant so that it has this definition."""

    definition: Definition


AssistantCommand = DefineAssistant | ReviseAssistant | RetireAssistant | SeedAssistant


def decide_assistant(
    tenant: str | None,
    assistant_id: str,
    assistant: DefinedAssistant | None,
    command: AssistantCommand,
    command_metadata: CommandMetadata,
) -> AssistantEvent | None:
    """Return the event that results, or None if nothing changes. Raises AssistantError."""
    common: dict[str, Any] = {
        "actor": command_metadata.actor,
        "request_id": command_metadata.request_id,
        "assistant_id": assistant_id,
        "tenant": tenant,
    }
    data = _data(assistant, command, common)
    if data is None:
        return None
    return _next_event(assistant_stream(tenant, assistant_id), assistant, data, command_metadata)


def _data(
    assistant: DefinedAssistant | None, command: AssistantCommand, common: dict[str, Any]
) -> KnownAssistantData | None:
    match command:
        case DefineAssistant(definition=definition):
            if assistant is None:
                return AssistantDefined(**common, **asdict(definition))
            if (
                command.allow_existing
                and definition == assistant.definition
                and not assistant.retired
            ):
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


def _next_event(
    stream_id: UUID,
    assistant: DefinedAssistant | None,
    data: KnownAssistantData,
    command_metadata: CommandMetadata,
) -> AssistantEvent:
    # Event times must not decrease when the clock was set back.
    time = max(assistant.changed_at, command_metadata.now) if assistant else command_metadata.now
    last_id = assistant.last_event_id if assistant else None
    return AssistantEvent(
        id=uuid7_after(last_id, time, command_metadata.randomness),
        stream_id=stream_id,
        sequence=assistant.sequence + 1 if assistant else 1,
        time=time,
        data=data,
    )
