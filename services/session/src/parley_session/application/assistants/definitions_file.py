"""The assistants that every tenant has, read from a YAML file."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import msgspec

from parley_contracts.session_api.assistants import (
    AssistantId,
    AssistantName,
    Description,
    Instructions,
)
from parley_contracts.session_api.requests import ModelName
from parley_core.runtime.settings import InvalidSettings
from parley_core.runtime.yaml_file import InvalidFile, read_yaml
from parley_session.domain.assistant.state import Definition

PACKAGED = files(__package__) / "assistants.yaml"


def read_assistants(path: Path | None) -> Mapping[str, Definition]:
    """By id, those of the file that PARLEY_ASSISTANTS names, or of the packaged one.

    At least one; the first is the default one. Raises InvalidSettings.
    """
    try:
        entries = read_yaml(path or PACKAGED, _File).assistants
    except InvalidFile as wrong:
        raise _wrong(str(wrong)) from None
    if not entries:
        raise _wrong("it names no assistant")
    if len({entry.id for entry in entries}) < len(entries):
        raise _wrong("two of its assistants have the same id")
    return {entry.id: _definition(entry, entry is entries[0]) for entry in entries}


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    id: AssistantId
    name: AssistantName
    description: Description
    instructions: Instructions
    model: ModelName | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    assistants: list[_Entry]


def _definition(entry: _Entry, default: bool) -> Definition:
    return Definition(
        name=entry.name,
        description=entry.description.strip(),
        instructions=entry.instructions.strip(),
        model=entry.model,
        default=default,
    )


def _wrong(why: str) -> InvalidSettings:
    return InvalidSettings(
        f"PARLEY_ASSISTANTS is wrong: {why}. It should be the path of a YAML file with "
        "`assistants`, each with id, name, description and instructions; a model may follow."
    )
