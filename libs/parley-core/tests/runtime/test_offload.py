"""Work over much text runs in another thread, and its errors are raised to the caller."""

import threading

import pytest

from parley_core.runtime.offload import run_in_thread_if_large, run_in_thread_if_long

MIB = 1024 * 1024


@pytest.mark.parametrize(("size", "is_here"), [(0, True), (2 * MIB, True), (2 * MIB + 1, False)])
async def test_work_over_long_text_does_not_run_in_the_event_loops_thread(
    size: int, is_here: bool
) -> None:
    here = threading.get_ident()
    assert (await run_in_thread_if_long(size, threading.get_ident) == here) is is_here


@pytest.mark.parametrize(("messages", "is_here"), [(1, True), (8, True), (9, False)])
async def test_work_over_many_messages_does_not_run_in_the_event_loops_thread(
    messages: int, is_here: bool
) -> None:
    here = threading.get_ident()
    assert (await run_in_thread_if_large(messages, threading.get_ident) == here) is is_here


async def test_an_error_of_the_work_is_raised() -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await run_in_thread_if_long(3 * MIB, fail)
