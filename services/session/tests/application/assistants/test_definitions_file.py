"""The definitions file of shared assistants, and the ways in which it can be invalid."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from parley_core.runtime.settings import InvalidSettings
from parley_core.runtime.text_files import MAX_BYTES
from parley_session.application.assistants.definitions_file import read_assistants
from parley_session.domain.assistant.state import Definition

TWO = """
assistants:
  - {id: cook, name: Cook, description: Cooks., instructions: Cook., model: m1}
  - {id: poet, name: Poet, description: Rhymes., instructions: Rhyme.}
"""


def read(tmp_path: Path, text: str | bytes) -> Mapping[str, Definition]:
    path = tmp_path / "assistants.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_assistants(path)


def test_the_packaged_file_defines_three_assistants_and_a_default() -> None:
    assistants = read_assistants(None)
    assert [*assistants] == ["helper", "coder", "tutor"]
    assert [each.default for each in assistants.values()] == [True, False, False]
    assert all(each.instructions and each.description for each in assistants.values())


def test_the_first_assistant_of_a_file_is_the_default(tmp_path: Path) -> None:
    assert read(tmp_path, TWO) == {
        "cook": Definition("Cook", "Cooks.", "Cook.", model="m1", default=True),
        "poet": Definition("Poet", "Rhymes.", "Rhyme."),
    }


ENTRY = "{id: a, name: A, description: d, instructions: i}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("assistants: [", "it is not valid YAML"),
        (b"\xff\xfe\x00", "it is not valid YAML"),
        ("[" * 600, "it is not valid YAML"),
        ("", "Expected `object`, got `null`"),
        ("- a", "Expected `object`, got `array`"),
        ("assistants: []", "it defines no assistant"),
        (f"assistants: [{ENTRY}]\nmodels: []", "unknown field `models`"),
        (f"assistants: [{ENTRY}, {ENTRY}]", "two of its assistants have the same id"),
        ("assistants: [{id: a, name: A, description: d}]", "required field `instructions`"),
        (f"assistants: [{ENTRY[:-1]}, temperature: 1}}]", "unknown field `temperature`"),
        (f"assistants: [{ENTRY.replace('id: a', 'id: A b')}]", "matching regex"),
        (f"assistants: [{ENTRY.replace('name: A', 'name: 5')}]", "Expected `str`, got `int`"),
        (f"assistants: [{ENTRY[:-1]}, model: ''}}]", "Expected `str` of length >= 1"),
        (b"#" * (MAX_BYTES + 1), f"it is over {MAX_BYTES} bytes"),
    ],
)
def test_an_invalid_file_is_rejected_in_a_sentence(
    tmp_path: Path, text: str | bytes, reason: str
) -> None:
    with pytest.raises(InvalidSettings) as rejected:
        read(tmp_path, text)
    assert str(rejected.value).startswith("PARLEY_SESSION_ASSISTANTS_PATH is wrong: ")
    assert reason in str(rejected.value)
    assert "It should be the path of a YAML file" in str(rejected.value)


def test_a_missing_file_is_rejected_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="it cannot be read \\(No such file or directory\\)"):
        read_assistants(tmp_path / "none.yaml")
