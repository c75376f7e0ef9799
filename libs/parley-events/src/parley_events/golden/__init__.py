"""One record of every published version of every event, kept for ever: it must always decode."""

import json
from importlib.resources import files
from typing import Any

from parley_events.cloudevents import Record


def golden_types() -> set[str]:
    """The event types that there is a record of."""
    names = (file.name for file in files(__name__).iterdir())
    return {name.removesuffix(".json") for name in names if name.endswith(".json")}


def golden(event_type: str) -> dict[str, Any]:
    """`key`, `headers` and `value` of the record, as JSON."""
    stored: dict[str, Any] = json.loads((files(__name__) / f"{event_type}.json").read_text())
    return stored


def golden_record(event_type: str) -> Record:
    stored = golden(event_type)
    return Record(
        key=stored["key"].encode(),
        headers=[(name, text.encode()) for name, text in stored["headers"].items()],
        value=json.dumps(stored["value"], separators=(",", ":")).encode(),
    )
