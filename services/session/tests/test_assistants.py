"""The catalogue's file, and each way in which it can be wrong."""

from pathlib import Path

import pytest

from parley_core.errors import NotFound
from parley_core.settings import SettingsWrong
from parley_core.yaml_file import MOST_BYTES
from parley_session.assistants import read_assistants

ONE = """
assistants:
  - {id: cook, name: Cook, description: Cooks., instructions: Cook., model: m1, version: 3}
  - {id: poet, name: Poet, description: Rhymes., instructions: Rhyme.}
"""


def read(tmp_path: Path, text: str | bytes, default_model: str | None = "demo"):
    path = tmp_path / "assistants.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_assistants(path, default_model)


def test_the_packaged_catalogue_has_three_and_a_default_one() -> None:
    assistants = [*read_assistants(None, "demo")]
    assert [a.shape.id for a in assistants] == ["helper", "coder", "tutor"]
    assert [a.shape.default for a in assistants] == [True, False, False]
    assert all(a.instructions and a.shape.description for a in assistants)


def test_the_first_of_a_file_is_the_default_one(tmp_path: Path) -> None:
    assistants = read(tmp_path, ONE)
    assert assistants.get(None).shape.id == "cook"
    assert assistants.get("poet").shape.version == 1
    assert assistants.get("cook").shape.version == 3


def test_an_assistant_without_a_model_has_the_default_model(tmp_path: Path) -> None:
    assistants = read(tmp_path, ONE)
    assert (assistants.get("cook").model, assistants.get("poet").model) == ("m1", "demo")


def test_an_unknown_assistant_is_not_found_and_names_the_field(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as refused:
        read(tmp_path, ONE).get("nobody")
    assert (refused.value.code, refused.value.param) == ("assistant_not_found", "assistant_id")


def test_a_model_is_asked_for_only_by_assistants_that_name_none(tmp_path: Path) -> None:
    with pytest.raises(SettingsWrong, match=r"^PARLEY_MODEL is not set\. .* is poet\)\.$"):
        read(tmp_path, ONE, default_model=None)
    named = ONE.replace("instructions: Rhyme.", "instructions: Rhyme., model: m2")
    assert read(tmp_path, named, default_model=None).get("poet").model == "m2"


ENTRY = "{id: a, name: A, description: d, instructions: i}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("assistants: [", "it is no YAML"),
        (b"\xff\xfe\x00", "it is no YAML"),
        ("[" * 600, "it is no YAML"),
        ("", "Expected `object`, got `null`"),
        ("- a", "Expected `object`, got `array`"),
        ("assistants: []", "it names no assistant"),
        (f"assistants: [{ENTRY}]\nmodels: []", "unknown field `models`"),
        (f"assistants: [{ENTRY}, {ENTRY}]", "two of its assistants have the same id"),
        ("assistants: [{id: a, name: A, description: d}]", "required field `instructions`"),
        (f"assistants: [{ENTRY[:-1]}, temperature: 1}}]", "unknown field `temperature`"),
        (f"assistants: [{ENTRY.replace('id: a', 'id: A b')}]", "matching regex"),
        (f"assistants: [{ENTRY.replace('name: A', 'name: 5')}]", "Expected `str`, got `int`"),
        (f"assistants: [{ENTRY[:-1]}, version: 0}}]", "Expected `int` >= 1"),
        (b"#" * (MOST_BYTES + 1), f"it is over {MOST_BYTES} bytes"),
    ],
)
def test_a_wrong_file_gives_a_sentence(tmp_path: Path, text: str | bytes, why: str) -> None:
    with pytest.raises(SettingsWrong) as wrong:
        read(tmp_path, text)
    assert str(wrong.value).startswith("PARLEY_ASSISTANTS is wrong: ")
    assert why in str(wrong.value)
    assert "It should be the path of a YAML file" in str(wrong.value)


def test_a_file_that_is_not_there_gives_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsWrong, match="it cannot be read \\(No such file or directory\\)"):
        read_assistants(tmp_path / "none.yaml", "demo")
