"""Each value that an event may carry is projected and rebuilt, at its largest and smallest."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from history_testing.completions import Completion
from history_testing.log import Relay
from history_testing.read_model import ReadModelTables, folded
from history_testing.rebuild import RebuildRunner
from history_testing.stories import Story, full
from pydantic import ValidationError

from parley_events.session import DATA_BY_TYPE
from parley_events.values import Usage, Value

FOUR_BYTES = "\N{GRINNING FACE}"
FIRST, LAST = (each.replace(tzinfo=UTC) for each in (datetime.min, datetime.max))
# The first that the field accepts is used.
LARGEST: dict[type, tuple[Any, ...]] = {
    int: (2**63, 2**53, 2**31 - 1),
    str: (FOUR_BYTES * 100_000, FOUR_BYTES * 255),
    datetime: (LAST, LAST - timedelta(microseconds=1)),
}
SMALLEST: dict[type, tuple[Any, ...]] = {
    int: (-1, 0),
    str: ("",),
    datetime: (FIRST, FIRST + timedelta(microseconds=1)),
}


def accepts(value: Value, **fields: Any) -> bool:
    try:
        type(value).model_validate({**value.model_dump(), **fields})
    except ValidationError:
        return False
    return True


def at_bounds(value: Value, bounds: dict[type, tuple[Any, ...]]) -> Any:
    changed: dict[str, Any] = {}
    for name, field in dict(value).items():
        if isinstance(field, Value):
            changed[name] = at_bounds(field, bounds)
        else:
            allowed = (
                each for each in bounds.get(type(field), ()) if accepts(value, **{name: each})
            )
            changed[name] = next(allowed, field)
    return value.model_copy(update=changed)


def story_at_bounds(story: Story, bounds: dict[type, tuple[Any, ...]]) -> Story:
    story.events = [replace(each, data=at_bounds(each.data, bounds)) for each in story.events]
    return story


def imported_reply() -> Story:
    story = Story()
    usage = Usage(prompt_tokens=3, completion_tokens=4)
    fields: dict[str, Any] = {"tokens": 4, "model": "demo", "finish_reason": "stop"}
    story.import_message("Hi.", "assistant", usage=usage, error_code="x", **fields)
    return story


async def test_an_event_at_its_bounds_is_projected_and_rebuilt(
    rebuild: RebuildRunner, relay: Relay, tables: ReadModelTables
) -> None:
    erased = full()
    erased.erase()
    whole = [full(), erased, Completion()]
    assert {event.type for story in whole for event in story.events} == set(DATA_BY_TYPE)
    stories = [story_at_bounds(story, LARGEST) for story in whole]
    stories += [story_at_bounds(story, SMALLEST) for story in (full(), Completion())]
    stories += [story_at_bounds(imported_reply(), bounds) for bounds in (LARGEST, SMALLEST)]
    await relay.publish([record for story in stories for record in story.records])
    await rebuild.project()
    assert (await tables.rows()).of(*stories) == folded(*stories)
    rebuilt = await rebuild.run("rebuild")
    assert rebuilt.code == 0, rebuilt.error


@pytest.mark.parametrize("event_type", sorted(DATA_BY_TYPE))
def test_no_name_of_an_event_contains_a_character_that_cannot_be_stored(event_type: str) -> None:
    erased = full()
    erased.erase()
    events = [*erased.events, *Completion().events]
    data = next(event.data for event in events if event.type == event_type)
    for name, field in dict(data).items():
        if isinstance(field, str):
            assert not accepts(data, **{name: "a\0b"}), name
