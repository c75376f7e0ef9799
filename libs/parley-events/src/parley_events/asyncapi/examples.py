"""The part of `docs/events.md` that shows an example of each event."""

import json
import re
from collections.abc import Iterator
from inspect import getdoc

from parley_events.asyncapi.streams import ALL_DATA_BY_TYPE
from parley_events.golden import golden
from parley_events.values import Value

BEGIN, END = (
    "<!-- examples: made by python -m parley_events.asyncapi -->",
    "<!-- end of examples -->",
)

_PART = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)


class NoPlace(Exception):
    """The page has no two lines between which the examples belong."""


def with_examples(page: str) -> str:
    """The page with its examples as they should be. Raises NoPlace."""
    if not _PART.search(page):
        raise NoPlace(f"The page should have the lines {BEGIN} and {END}.")
    part = "\n".join([BEGIN, "", *_examples(), END])
    return _PART.sub(lambda _: part, page)


def _examples() -> Iterator[str]:
    for event_type, data in ALL_DATA_BY_TYPE.items():
        stored = golden(event_type)
        yield f"### {event_type}\n\n{getdoc(data)}{_optional(data)}\n"
        yield "```text"
        yield f"key: {stored['key']}"
        yield from (f"{name}: {value}" for name, value in stored["headers"].items())
        yield "```\n"
        yield f"```json\n{json.dumps(stored['value'], indent=2)}\n```\n"


def _optional(data: type[Value]) -> str:
    names = [f"`{name}`" for name, field in data.model_fields.items() if not field.is_required()]
    return f" May be absent: {', '.join(names)}." if names else ""
