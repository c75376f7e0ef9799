from uuid import UUID, uuid4

import pytest

from parley_contracts.session_api.turns import PromptContext, PromptMessage
from parley_inference.session.context_window_cache import (
    TTL_SECONDS,
    CacheMiss,
    ContextWindow,
    ContextWindowCache,
    build_prompt,
)

ONE, TWO, THREE = (UUID(int=number) for number in range(1, 4))


def context(version: int, *contents: str, base: int | None = None) -> PromptContext:
    messages = [PromptMessage(uuid4(), "user", content) for content in contents]
    return PromptContext(base, version, 1_000, 10, messages)


def contents(window: ContextWindow) -> list[str]:
    return [message.content for message in window.messages]


def version(windows: ContextWindowCache, session: UUID) -> int | None:
    ref = windows.get_ref(session)
    return ref.version if ref else None


def test_new_messages_extend_the_cached_window() -> None:
    windows = ContextWindowCache(10_000)
    windows.update(ONE, context(3, "a", "b"))
    window = windows.update(ONE, context(7, "c", base=3))
    assert contents(window) == ["a", "b", "c"]
    assert version(windows, ONE) == 7


def test_a_context_without_base_replaces_the_window() -> None:
    windows = ContextWindowCache(10_000)
    windows.update(ONE, context(3, "a"))
    assert contents(windows.update(ONE, context(7, "c"))) == ["c"]


def test_the_size_of_a_window_is_that_of_its_text_in_memory() -> None:
    windows = ContextWindowCache(1_000_000)
    narrow = windows.update(ONE, context(3, "a" * 10_000))
    wide = windows.update(TWO, context(3, "a" * 10_000 + "😀"))
    assert 10_000 < narrow.memory_bytes < 11_000
    assert 40_000 < wide.memory_bytes < 41_000
    longer = windows.update(TWO, context(4, "b" * 10_000, base=3))
    assert 50_000 < longer.memory_bytes < 52_000


@pytest.mark.parametrize("base", [2, 4])
def test_an_uncached_base_is_a_cache_miss(base: int) -> None:
    windows = ContextWindowCache(10_000)
    windows.update(ONE, context(3, "a"))
    with pytest.raises(CacheMiss):
        windows.update(ONE, context(7, "c", base=base))
    assert version(windows, ONE) == 3


def test_the_least_recently_used_window_is_evicted_first() -> None:
    windows = ContextWindowCache(2_000)
    windows.update(ONE, context(3, "a" * 400))
    windows.update(TWO, context(3, "a" * 400))
    windows.update(ONE, context(4, base=3))
    windows.update(THREE, context(3, "a" * 400))
    assert [version(windows, session) for session in (ONE, TWO, THREE)] == [4, None, 3]


def test_a_window_over_the_limit_is_returned_but_not_cached() -> None:
    windows = ContextWindowCache(1_000)
    assert contents(windows.update(ONE, context(3, "a" * 1_000))) == ["a" * 1_000]
    assert version(windows, ONE) is None


def test_many_small_windows_are_bounded_too() -> None:
    windows = ContextWindowCache(10_000)
    for number in range(1_000):
        windows.update(UUID(int=number), context(1, ""))
    cached = sum(version(windows, UUID(int=number)) is not None for number in range(1_000))
    assert 0 < cached < 30


def test_an_idle_window_expires() -> None:
    now = 0.0
    windows = ContextWindowCache(10_000, clock=lambda: now)
    windows.update(ONE, context(3, "a"))
    now = TTL_SECONDS - 10
    windows.update(TWO, context(3, "a"))
    now = TTL_SECONDS + 1
    windows.expire()
    assert [version(windows, session) for session in (ONE, TWO)] == [None, 3]


def test_a_cached_window_is_referenced_by_version_budget_and_last_message() -> None:
    windows = ContextWindowCache(10_000)
    windows.update(ONE, context(3, "a"))
    window = windows.update(ONE, context(7, "b", base=3))
    ref = windows.get_ref(ONE)
    assert ref is not None
    assert (ref.version, ref.budget, ref.message_id) == (7, 1_000, window.messages[-1].id)


def test_a_dropped_window_frees_its_bytes() -> None:
    windows = ContextWindowCache(1_000)
    windows.update(ONE, context(3, "a" * 500))
    windows.drop(ONE)
    windows.update(TWO, context(3, "a" * 500))
    assert (version(windows, ONE), version(windows, TWO)) == (None, 3)
    windows.clear()
    assert not windows


def with_summary(*contents: str) -> PromptContext:
    history = context(3, *contents)
    summary = PromptMessage(None, "system", "Ada was here.")
    return PromptContext(None, 3, 1_000, 10, [summary, *history.messages])


def test_instructions_and_summary_form_one_system_message() -> None:
    window = ContextWindowCache(10_000).update(ONE, with_summary("Hé?"))
    prompt = build_prompt("Be kind.", window, 10)
    [system, user] = prompt.messages
    assert system["role"] == "system"
    assert system["content"].startswith("Be kind.\n\n")
    assert system["content"].endswith("\n\nAda was here.")
    assert user == {"role": "user", "content": "Hé?"}
    assert prompt.tokens == 12


@pytest.mark.parametrize(("instructions", "roles"), [("", ["user"]), ("Be.", ["system", "user"])])
def test_without_a_summary_the_system_message_is_the_instructions_if_any(
    instructions: str, roles: list[str]
) -> None:
    window = ContextWindowCache(10_000).update(ONE, context(3, "a"))
    prompt = build_prompt(instructions, window, 10)
    assert [message["role"] for message in prompt.messages] == roles
    assert prompt.tokens == 10 + bool(instructions)
