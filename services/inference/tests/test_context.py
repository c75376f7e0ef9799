from uuid import UUID

import pytest

from parley_inference.context import Context, ContextMessage, WindowLost, Windows

ONE, TWO, THREE = (UUID(int=number) for number in range(1, 4))


def context(version: int, *contents: str, base: int | None = None) -> Context:
    return Context(base, version, [ContextMessage("user", content) for content in contents])


def contents(window) -> list[str]:
    return [message["content"] for message in window.messages]


def test_new_messages_follow_the_window_that_is_held():
    windows = Windows(10_000, 60)
    windows.update(ONE, context(3, "a", "b"), 0)
    window = windows.update(ONE, context(7, "c", base=3), 1)
    assert contents(window) == ["a", "b", "c"]
    assert windows.version(ONE) == 7


def test_without_a_base_they_replace_it():
    windows = Windows(10_000, 60)
    windows.update(ONE, context(3, "a"), 0)
    assert contents(windows.update(ONE, context(7, "c"), 1)) == ["c"]


def test_the_size_of_a_window_is_its_utf_8():
    windows = Windows(10_000, 60)
    windows.update(ONE, context(3, "aé"), 0)
    assert windows.update(ONE, context(4, "😀", base=3), 0).size == 7


@pytest.mark.parametrize("base", [2, 4])
def test_a_base_that_is_not_held_is_refused(base):
    windows = Windows(10_000, 60)
    windows.update(ONE, context(3, "a"), 0)
    with pytest.raises(WindowLost):
        windows.update(ONE, context(7, "c", base=base), 1)
    assert windows.version(ONE) == 3


def test_the_least_recently_used_goes_first():
    windows = Windows(2_000, 60)
    windows.update(ONE, context(3, "a" * 400), 0)
    windows.update(TWO, context(3, "a" * 400), 0)
    windows.update(ONE, context(4, base=3), 0)
    windows.update(THREE, context(3, "a" * 400), 0)
    assert [windows.version(session) for session in (ONE, TWO, THREE)] == [4, None, 3]


def test_a_window_over_the_limit_is_used_and_not_kept():
    windows = Windows(1_000, 60)
    assert contents(windows.update(ONE, context(3, "a" * 1_000), 0)) == ["a" * 1_000]
    assert windows.version(ONE) is None


def test_many_small_windows_are_bounded_too():
    windows = Windows(10_000, 60)
    for number in range(1_000):
        windows.update(UUID(int=number), context(1, ""), 0)
    kept = sum(windows.version(UUID(int=number)) is not None for number in range(1_000))
    assert 0 < kept < 30


def test_an_idle_window_goes_after_its_time():
    windows = Windows(10_000, 60)
    windows.update(ONE, context(3, "a"), 0)
    windows.update(TWO, context(3, "a"), 50)
    windows.expire(61)
    assert [windows.version(session) for session in (ONE, TWO)] == [None, 3]
