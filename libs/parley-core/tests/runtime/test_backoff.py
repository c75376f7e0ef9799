from itertools import count

from parley_core.runtime.backoff import Backoff, backoff_delay


def backoff(times: list[float] | None = None, *, jitter: float = 1) -> Backoff:
    clock = iter(times or count())
    return Backoff(0.1, 2, deadline_seconds=30, clock=lambda: next(clock), jitter=lambda: jitter)


def test_delays_double_up_to_their_maximum() -> None:
    retries = backoff()
    assert [retries.next_delay() for _ in range(7)] == [0.1, 0.2, 0.4, 0.8, 1.6, 2, 2]


def test_jitter_reduces_a_delay_by_half_at_most() -> None:
    assert backoff(jitter=0).next_delay() == 0.05


def test_there_is_no_delay_once_the_deadline_has_passed() -> None:
    retries = backoff([100, 129.9, 130])
    assert [retries.next_delay() is None for _ in range(3)] == [False, False, True]


def test_a_reset_restores_the_initial_delay_and_the_whole_deadline() -> None:
    retries = backoff([0, 100, 129])
    retries.next_delay()
    retries.reset()
    assert [retries.next_delay(), retries.next_delay()] == [0.1, 0.2]


def test_the_delay_of_a_very_late_attempt_is_the_maximum() -> None:
    assert backoff_delay(100_000, 0.1, 2, jitter=lambda: 1) == 2
