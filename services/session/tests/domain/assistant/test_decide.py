"""Decisions on assistants."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from parley_events.assistant import (
    AssistantDefined,
    AssistantEvent,
    AssistantRetired,
    AssistantRevised,
    assistant_stream,
)
from parley_events.session import UnknownEvent
from parley_events.values import Actor
from parley_session.domain.assistant.decide import (
    AssistantCommand,
    DefineAssistant,
    RetireAssistant,
    ReviseAssistant,
    SeedAssistant,
    decide_assistant,
)
from parley_session.domain.assistant.errors import (
    AssistantAlreadyRetired,
    AssistantIdTaken,
    AssistantNotFound,
)
from parley_session.domain.assistant.state import (
    DefinedAssistant,
    Definition,
    evolve_assistant,
    fold_assistant,
)
from parley_session.domain.session.event_builder import CommandMetadata
from parley_session.domain.session.state import BrokenStream

COOK = Definition("Cook", "Cooks.", "Be a cook.", model="m1")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
GRACE = Actor(tenant="acme", user="grace")


def decide(
    assistant: DefinedAssistant | None, command: AssistantCommand, now: datetime = NOON
) -> AssistantEvent | None:
    return decide_assistant(
        "acme", "cook", assistant, command, CommandMetadata(GRACE, "req-1", now, 7)
    )


def after(*commands: AssistantCommand) -> DefinedAssistant | None:
    assistant = None
    for command in commands:
        event = decide(assistant, command)
        assert event is not None
        assistant = evolve_assistant(assistant, event)
    return assistant


DEFINED: list[AssistantCommand] = [DefineAssistant(COOK)]
RETIRED: list[AssistantCommand] = [*DEFINED, RetireAssistant()]


def test_the_first_event_contains_the_whole_definition() -> None:
    event = decide(None, DefineAssistant(COOK))
    assert event is not None
    assert (event.sequence, event.time) == (1, NOON)
    assert event.stream_id == assistant_stream("acme", "cook")
    assert event.data == AssistantDefined(
        actor=GRACE,
        request_id="req-1",
        assistant_id="cook",
        tenant="acme",
        name="Cook",
        description="Cooks.",
        instructions="Be a cook.",
        model="m1",
    )


def test_a_revision_contains_the_whole_definition_and_is_the_next_version() -> None:
    event = decide(after(*DEFINED), ReviseAssistant({"name": "Chef", "model": None}))
    assert event is not None
    assert isinstance(event.data, AssistantRevised)
    assert (event.sequence, event.data.name, event.data.model) == (2, "Chef", None)
    assert event.data.instructions == "Be a cook."


@pytest.mark.parametrize(
    ("given", "command"),
    [
        (DEFINED, ReviseAssistant({"name": "Cook"})),
        (DEFINED, ReviseAssistant({})),
        (DEFINED, SeedAssistant(COOK)),
        (DEFINED, DefineAssistant(COOK, allow_existing=True)),
        (RETIRED, RetireAssistant()),
    ],
)
def test_a_command_without_effect_appends_nothing(
    given: Sequence[AssistantCommand], command: AssistantCommand
) -> None:
    assert decide(after(*given), command) is None


@pytest.mark.parametrize(
    ("given", "command", "refusal"),
    [
        (DEFINED, DefineAssistant(COOK), AssistantIdTaken),
        (
            DEFINED,
            DefineAssistant(replace(COOK, name="Chef"), allow_existing=True),
            AssistantIdTaken,
        ),
        (RETIRED, DefineAssistant(COOK), AssistantIdTaken),
        (RETIRED, DefineAssistant(COOK, allow_existing=True), AssistantIdTaken),
        (RETIRED, ReviseAssistant({"name": "Chef"}), AssistantAlreadyRetired),
        ([], ReviseAssistant({"name": "Chef"}), AssistantNotFound),
        ([], RetireAssistant(), AssistantNotFound),
    ],
)
def test_a_forbidden_command_is_rejected(
    given: Sequence[AssistantCommand], command: AssistantCommand, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        decide(after(*given), command)


def test_a_retired_assistant_keeps_its_last_definition_and_version() -> None:
    retired = after(*DEFINED, ReviseAssistant({"name": "Chef"}), RetireAssistant())
    assert retired is not None
    assert (retired.retired, retired.definition.name) == (True, "Chef")
    assert (retired.version, retired.sequence) == (2, 3)


def test_seeding_revives_a_retired_assistant() -> None:
    back = after(*RETIRED, SeedAssistant(COOK))
    assert back is not None
    assert (back.retired, back.version) == (False, 3)


def test_ids_and_times_increase_when_the_clock_goes_back() -> None:
    defined = after(*DEFINED)
    assert defined is not None
    event = decide(defined, RetireAssistant(), NOON - timedelta(hours=1))
    assert event is not None
    assert isinstance(event.data, AssistantRetired)
    assert event.id > defined.last_event_id
    assert event.time == defined.changed_at


def test_an_unknown_event_advances_the_sequence_without_effect() -> None:
    defined = after(*DEFINED)
    event = decide(defined, RetireAssistant())
    assert defined is not None
    assert event is not None
    unknown: Any = UnknownEvent(type="parley.assistant.praised.v1", data={})
    known = evolve_assistant(defined, replace(event, data=unknown))
    assert (known.sequence, known.retired, known.definition) == (2, False, COOK)


def test_a_stream_that_does_not_start_with_a_definition_is_broken() -> None:
    event = decide(after(*DEFINED), RetireAssistant())
    assert event is not None
    with pytest.raises(BrokenStream):
        fold_assistant([event])
