"""Loads the definitions of the shared assistants from a YAML file."""

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
from parley_core.runtime.text_files import InvalidFile
from parley_core.runtime.yaml_file import read_yaml
from parley_session.domain.assistant.state import Definition

PACKAGED = files(__package__) / "assistants.yaml"


def read_assistants(path: Path | None) -> Mapping[str, Definition]:
    """Definitions by id, from the file or else the packaged one; the first is the default.

    Raises InvalidSettings.
    """
    try:
        entries = read_yaml(path or PACKAGED, _File).assistants
    except InvalidFile as invalid:
        raise _invalid(str(invalid)) from None
    if not entries:
        raise _invalid("it defines no assistant")
    if len({entry.id for entry in entries}) < len(entries):
        raise _invalid("two of its assistants have the same id")
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


def _invalid(reason: str) -> InvalidSettings:
    return InvalidSettings(
        f"PARLEY_SESSION_ASSISTANTS_PATH is wrong: {reason}. It should be the path of a YAML file "
        "with `assistants`, each with id, name, description and instructions, and optionally a "
        "model."
    )
