"""How soon what is away is asked for again, and when that is given up."""

from parley_gateway.http.backoff import ReconnectBackoff


def outage(**changes):
    return ReconnectBackoff(**{"most": 30, "first_pause": 0.1, "most_pause": 2} | changes)


def test_pauses_double_up_to_their_limit():
    away = outage()
    pauses = [away.next_pause(0, jitter=1) for _ in range(7)]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2, 2]


def test_jitter_takes_half_of_a_pause_at_most():
    assert outage().next_pause(0, jitter=0) == 0.05


def test_it_is_given_up_once_it_has_lasted_too_long():
    away = outage()
    assert away.next_pause(100, jitter=0) is not None
    assert away.next_pause(129.9, jitter=0) is not None
    assert away.next_pause(130, jitter=0) is None


def test_the_next_outage_has_all_its_time_again():
    away = outage()
    away.next_pause(0, jitter=1)
    away.is_over()
    assert away.next_pause(100, jitter=1) == 0.1
    assert away.next_pause(129, jitter=1) == 0.2


def test_pauses_stay_within_their_limit_however_often_it_is_tried():
    away = outage(most=1e9)
    assert {away.next_pause(0, jitter=1) for _ in range(5_000)} <= {0.1, 0.2, 0.4, 0.8, 1.6, 2}
