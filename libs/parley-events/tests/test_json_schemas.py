"""JSON Schemas of the events: they fit the golden records, and only change compatibly."""

import json
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from parley_events.asyncapi.__main__ import main
from parley_events.asyncapi.examples import BEGIN, END
from parley_events.asyncapi.json_schemas import incompatible_changes, json_schema
from parley_events.asyncapi.streams import ALL_DATA_BY_TYPE
from parley_events.field_descriptions import FIELD_DESCRIPTIONS
from parley_events.golden import golden

REPLY = "parley.session.reply_completed.v1"


@pytest.mark.parametrize("event_type", ALL_DATA_BY_TYPE)
def test_the_golden_record_is_valid_and_a_missing_field_is_not(event_type: str) -> None:
    validator = Draft202012Validator(json_schema(event_type))
    value = golden(event_type)["value"]
    assert [*validator.iter_errors(value)] == []
    required = json_schema(event_type)["required"][0]
    without = {name: each for name, each in value.items() if name != required}
    assert [*validator.iter_errors(without)] != []


def test_every_field_has_a_description_and_every_description_a_field() -> None:
    fields = {name for data in ALL_DATA_BY_TYPE.values() for name in data.model_fields}
    assert fields == set(FIELD_DESCRIPTIONS)


def _add_optional(schema: Any) -> None:
    schema["properties"]["cached"] = {"type": "boolean"}
    schema["$defs"]["Usage"]["properties"]["audio_tokens"] = {"type": "integer"}


def _remove(schema: Any) -> None:
    del schema["properties"]["usage"]


def _require(schema: Any) -> None:
    schema["required"].append("usage")


def _make_optional(schema: Any) -> None:
    schema["required"].remove("model")


def _change_type(schema: Any) -> None:
    schema["$defs"]["Usage"]["properties"]["prompt_tokens"]["type"] = "string"


def _shrink_enumeration(schema: Any) -> None:
    schema["properties"]["finish_reason"]["enum"].remove("length")


def _grow_enumeration(schema: Any) -> None:
    schema["properties"]["finish_reason"]["enum"].append("tool_calls")


def _tighten(schema: Any) -> None:
    schema["properties"]["model"]["maxLength"] = 10


@pytest.mark.parametrize(
    ("change", "is_compatible"),
    [
        (_add_optional, True),
        (_grow_enumeration, True),
        (_remove, False),
        (_require, False),
        (_make_optional, False),
        (_change_type, False),
        (_shrink_enumeration, False),
        (_tighten, False),
    ],
)
def test_only_additive_changes_are_compatible(
    change: Callable[[Any], None], is_compatible: bool
) -> None:
    changed = deepcopy(json_schema(REPLY))
    change(changed)
    assert (not [*incompatible_changes(json_schema(REPLY), changed)]) == is_compatible


def test_an_incompatible_change_is_neither_accepted_nor_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "events.md").write_text(f"{BEGIN}\n{END}\n")
    monkeypatch.setattr(sys, "argv", ["asyncapi", str(tmp_path)])
    assert main() == 0
    path = tmp_path / "schemas" / f"{REPLY}.json"
    published = json.loads(path.read_text())
    published["properties"]["more"] = {"type": "string"}
    path.write_text(json.dumps(published))
    for arguments in (["asyncapi", str(tmp_path)], ["asyncapi", "--check", str(tmp_path)]):
        monkeypatch.setattr(sys, "argv", arguments)
        assert main() == 1
        assert f"{REPLY}: more was removed." in capsys.readouterr().err
    assert "more" in json.loads(path.read_text())["properties"]
