"""The consumer rule: each event once and in order, from a log with repeats."""

from collections.abc import Sequence
from random import Random

import pytest

from parley_events.consumer_rule import Applied, ConsumerRule, TooManyDeferred

SESSION = b"session"


def received(rule: ConsumerRule[int, int], *events: tuple[int, int]) -> list[int]:
    """The sequences applied; an event is its sequence and its id."""
    return [
        each
        for sequence, event_id in events
        for each in rule.receive(SESSION, sequence, event_id, sequence)
    ]


def test_events_in_order_are_applied_and_repeats_are_dropped() -> None:
    rule = ConsumerRule[int, int]()
    assert received(rule, (1, 10), (2, 20), (1, 10), (2, 20), (3, 30), (3, 30)) == [1, 2, 3]
    assert rule.repeats == 3


def test_an_event_beyond_the_next_waits_for_the_missing_ones() -> None:
    rule = ConsumerRule[int, int]()
    assert received(rule, (1, 10), (4, 40), (3, 30), (4, 40)) == [1]
    assert rule.deferred_count == 2
    assert received(rule, (2, 20)) == [2, 3, 4]
    assert (rule.deferred, rule.deferred_count) == ({}, 0)


def test_a_later_id_at_an_applied_sequence_stops_the_session() -> None:
    rule = ConsumerRule[int, int]()
    assert received(rule, (1, 10), (2, 20), (2, 25), (3, 35)) == [1, 2]
    assert rule.forked == {SESSION: 2}
    assert rule.receive(b"another", 1, 5, 1) == [1]


def test_two_ids_at_a_sequence_that_waits_stop_the_session() -> None:
    rule = ConsumerRule[int, int]()
    assert received(rule, (1, 10), (3, 30), (3, 35), (2, 20)) == [1]
    assert (rule.forked, rule.deferred_count) == ({SESSION: 3}, 0)


def test_a_consumer_continues_from_its_stored_state() -> None:
    rule = ConsumerRule[int, int]({SESSION: Applied(2, 20)})
    assert received(rule, (1, 10), (2, 20), (3, 30)) == [3]


def test_a_log_read_from_its_middle_applies_what_it_has() -> None:
    rule = ConsumerRule[int, int](starts_anywhere=True)
    assert received(rule, (5, 50), (5, 50), (4, 40), (8, 80)) == [5, 8]


def test_the_number_of_waiting_events_is_bounded() -> None:
    rule = ConsumerRule[int, int](max_deferred=2)
    with pytest.raises(TooManyDeferred):
        received(rule, (3, 30), (4, 40), (5, 50))


def test_every_order_of_delivery_applies_each_event_once_and_in_order() -> None:
    events = [(sequence, 10 * sequence) for sequence in range(1, 30)]
    for seed in range(50):
        random, rule = Random(seed), ConsumerRule[int, int]()
        delivered: Sequence[tuple[int, int]] = events * 2
        assert received(rule, *random.sample(delivered, len(delivered))) == [*range(1, 30)]
        assert rule.deferred_count == 0


def test_events_that_are_all_the_next_ones_are_applied_at_once() -> None:
    rule = ConsumerRule[int, int]({SESSION: Applied(2, 20)})
    assert rule.apply_all([SESSION, b"another", SESSION], [3, 1, 4], [30, 5, 40])
    assert rule.applied == {SESSION: Applied(4, 40), b"another": Applied(1, 5)}


@pytest.mark.parametrize("sequence", [2, 4], ids=["repeat", "beyond"])
def test_one_event_that_is_not_the_next_keeps_all_from_being_applied_at_once(
    sequence: int,
) -> None:
    rule = ConsumerRule[int, int]({SESSION: Applied(2, 20)})
    assert not rule.apply_all([b"another", SESSION], [1, sequence], [5, 10 * sequence])
    assert rule.applied == {SESSION: Applied(2, 20)}


def test_events_of_forked_or_waiting_sessions_are_not_applied_at_once() -> None:
    rule = ConsumerRule[int, int]()
    received(rule, (1, 10), (3, 30))
    assert not rule.apply_all([SESSION], [2], [20])
    assert received(rule, (2, 20), (1, 35)) == [2, 3]
    assert not rule.apply_all([SESSION], [4], [40])
