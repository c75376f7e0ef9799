"""The catalogue of assistants, read from a YAML file when the process starts."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import msgspec

from parley_core.errors import NotFound
from parley_core.settings import SettingsWrong
from parley_core.shapes import Assistant
from parley_core.yaml_file import FileWrong, read_yaml

PACKAGED = files("parley_session") / "assistants.yaml"


@dataclass(frozen=True, slots=True)
class CataloguedAssistant:
    """What clients see of an assistant, and what the model is told."""

    shape: Assistant
    model: str
    instructions: str


class Assistants:
    """At least one; the first is the default one."""

    def __init__(self, assistants: list[CataloguedAssistant]) -> None:
        self._by_id = {assistant.shape.id: assistant for assistant in assistants}
        self._default = assistants[0]

    def __iter__(self) -> Iterator[CataloguedAssistant]:
        return iter(self._by_id.values())

    def get(self, assistant_id: str | None) -> CataloguedAssistant:
        """The assistant, or the default one for None. Raises NotFound."""
        if assistant_id is None:
            return self._default
        if assistant_id not in self._by_id:
            raise NotFound(
                "There is no such assistant; GET /v1/assistants lists them.",
                code="assistant_not_found",
                param="assistant_id",
            )
        return self._by_id[assistant_id]


def read_assistants(path: Path | None, default_model: str | None) -> Assistants:
    """The file that PARLEY_ASSISTANTS names, or the packaged one. Raises SettingsWrong."""
    try:
        entries = read_yaml(path or PACKAGED, _File).assistants
    except FileWrong as wrong:
        raise _wrong(str(wrong)) from None
    if not entries:
        raise _wrong("it names no assistant")
    if len({entry.id for entry in entries}) < len(entries):
        raise _wrong("two of its assistants have the same id")
    return Assistants([_assistant(entry, default_model, entry is entries[0]) for entry in entries])


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    description: Annotated[str, msgspec.Meta(max_length=500)]
    instructions: Annotated[str, msgspec.Meta(min_length=1, max_length=32_768)]
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    version: Annotated[int, msgspec.Meta(ge=1)] = 1


class _File(msgspec.Struct, forbid_unknown_fields=True):
    assistants: list[_Entry]


def _assistant(entry: _Entry, default_model: str | None, default: bool) -> CataloguedAssistant:
    model = entry.model or default_model
    if not model:
        raise SettingsWrong(
            "PARLEY_MODEL is not set. It should be the name of a model, such as gpt-4.1-mini, "
            f"for the assistants that name none (the first is {entry.id})."
        )
    shape = Assistant(
        id=entry.id,
        version=entry.version,
        name=entry.name,
        description=entry.description.strip(),
        model=model,
        default=default,
    )
    return CataloguedAssistant(shape, model, entry.instructions.strip())


def _wrong(why: str) -> SettingsWrong:
    return SettingsWrong(
        f"PARLEY_ASSISTANTS is wrong: {why}. It should be the path of a YAML file with "
        "`assistants`, each with id, name, description and instructions; model and version may "
        "follow."
    )
