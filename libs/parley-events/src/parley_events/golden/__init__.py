"""Golden records: one of each published version of each event, which must decode forever."""

import json
from importlib.resources import files
from typing import Any

from parley_events.cloudevents import Record


def golden_types() -> set[str]:
    """Return the event types that have a golden record."""
    names = (file.name for file in files(__name__).iterdir())
    return {name.removesuffix(".json") for name in names if name.endswith(".json")}


def golden(event_type: str) -> dict[str, Any]:
    """Return `key`, `headers` and `value` of a golden record, as JSON."""
    stored: dict[str, Any] = json.loads((files(__name__) / f"{event_type}.json").read_text())
    return stored


def golden_record(event_type: str) -> Record:
    stored = golden(event_type)
    return Record(
        key=stored["key"].encode(),
        headers=[(name, text.encode()) for name, text in stored["headers"].items()],
        value=json.dumps(stored["value"], separators=(",", ":")).encode(),
    )
