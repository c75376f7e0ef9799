from uuid import UUID, uuid4

import pytest

from parley_inference.session.context_window_cache import (
    CacheMiss,
    ContextMessage,
    ContextWindowCache,
    PromptContext,
    prompt_of,
)

ONE, TWO, THREE = (UUID(int=number) for number in range(1, 4))


def context(version: int, *contents: str, base: int | None = None) -> PromptContext:
    messages = [ContextMessage(uuid4(), "user", content) for content in contents]
    return PromptContext(base, version, 1_000, 10, messages)


def contents(window) -> list[str]:
    return [message.content for message in window.messages]


def version(windows: ContextWindowCache, session: UUID) -> int | None:
    held = windows.held(session)
    return held.version if held else None


def test_new_messages_follow_the_window_that_is_held():
    windows = ContextWindowCache(10_000, 60)
    windows.update(ONE, context(3, "a", "b"), 0)
    window = windows.update(ONE, context(7, "c", base=3), 1)
    assert contents(window) == ["a", "b", "c"]
    assert version(windows, ONE) == 7


def test_without_a_base_they_replace_it():
    windows = ContextWindowCache(10_000, 60)
    windows.update(ONE, context(3, "a"), 0)
    assert contents(windows.update(ONE, context(7, "c"), 1)) == ["c"]


def test_the_size_of_a_window_is_its_utf_8():
    windows = ContextWindowCache(10_000, 60)
    windows.update(ONE, context(3, "aé"), 0)
    assert windows.update(ONE, context(4, "😀", base=3), 0).size == 7


@pytest.mark.parametrize("base", [2, 4])
def test_a_base_that_is_not_held_is_refused(base):
    windows = ContextWindowCache(10_000, 60)
    windows.update(ONE, context(3, "a"), 0)
    with pytest.raises(CacheMiss):
        windows.update(ONE, context(7, "c", base=base), 1)
    assert version(windows, ONE) == 3


def test_the_least_recently_used_goes_first():
    windows = ContextWindowCache(2_000, 60)
    windows.update(ONE, context(3, "a" * 400), 0)
    windows.update(TWO, context(3, "a" * 400), 0)
    windows.update(ONE, context(4, base=3), 0)
    windows.update(THREE, context(3, "a" * 400), 0)
    assert [version(windows, session) for session in (ONE, TWO, THREE)] == [4, None, 3]


def test_a_window_over_the_limit_is_used_and_not_kept():
    windows = ContextWindowCache(1_000, 60)
    assert contents(windows.update(ONE, context(3, "a" * 1_000), 0)) == ["a" * 1_000]
    assert version(windows, ONE) is None


def test_many_small_windows_are_bounded_too():
    windows = ContextWindowCache(10_000, 60)
    for number in range(1_000):
        windows.update(UUID(int=number), context(1, ""), 0)
    kept = sum(version(windows, UUID(int=number)) is not None for number in range(1_000))
    assert 0 < kept < 30


def test_an_idle_window_goes_after_its_time():
    windows = ContextWindowCache(10_000, 60)
    windows.update(ONE, context(3, "a"), 0)
    windows.update(TWO, context(3, "a"), 50)
    windows.expire(61)
    assert [version(windows, session) for session in (ONE, TWO)] == [None, 3]


def test_what_is_held_is_told_by_its_version_its_budget_and_its_last_message():
    windows = ContextWindowCache(10_000, 60)
    windows.update(ONE, context(3, "a"), 0)
    window = windows.update(ONE, context(7, "b", base=3), 0)
    held = windows.held(ONE)
    assert (held.version, held.budget, held.message_id) == (7, 1_000, window.messages[-1].id)


def test_what_is_dropped_leaves_room():
    windows = ContextWindowCache(1_000, 60)
    windows.update(ONE, context(3, "a" * 500), 0)
    windows.drop(ONE)
    windows.update(TWO, context(3, "a" * 500), 0)
    assert (version(windows, ONE), version(windows, TWO)) == (None, 3)
    windows.clear()
    assert not windows


def with_summary(*contents: str):
    said = context(3, *contents)
    first = ContextMessage(None, "system", "Ada was here.")
    return PromptContext(None, 3, 1_000, 10, [first, *said.messages])


def test_the_model_is_told_its_instructions_and_the_summary_in_one_message():
    window = ContextWindowCache(10_000, 60).update(ONE, with_summary("Hé?"), 0)
    prompt = prompt_of("Be kind.", window, 10)
    [told, asked] = prompt.messages
    assert told["role"] == "system"
    assert told["content"].startswith("Be kind.\n\n")
    assert told["content"].endswith("\n\nAda was here.")
    assert asked == {"role": "user", "content": "Hé?"}
    assert prompt.tokens == 12


@pytest.mark.parametrize(("instructions", "roles"), [("", ["user"]), ("Be.", ["system", "user"])])
def test_without_a_summary_it_is_told_its_instructions_if_there_are_any(instructions, roles):
    window = ContextWindowCache(10_000, 60).update(ONE, context(3, "a"), 0)
    prompt = prompt_of(instructions, window, 10)
    assert [message["role"] for message in prompt.messages] == roles
    assert prompt.tokens == 10 + bool(instructions)
