from parley_inference.models.circuit_breaker import CircuitBreaker


def failing(circuit, times, at=0.0):
    for _ in range(times):
        assert circuit.admits(at)
        circuit.failed(at)


def opened():
    circuit = CircuitBreaker(3, 5)
    failing(circuit, 3, at=10)
    return circuit


def test_it_opens_after_so_many_failures_in_a_row():
    circuit = CircuitBreaker(3, 5)
    failing(circuit, 2)
    circuit.succeeded()
    failing(circuit, 2)
    assert circuit.state == "closed"
    failing(circuit, 1)
    assert circuit.state == "open"
    assert not circuit.admits(4.9)


def test_after_the_open_time_one_request_is_the_trial():
    circuit = opened()
    assert circuit.admits(15)
    assert circuit.state == "half_open"
    assert not circuit.admits(15)


def test_a_trial_that_succeeds_closes_it():
    circuit = opened()
    circuit.admits(15)
    circuit.succeeded()
    failing(circuit, 2, at=15)
    assert circuit.state == "closed"


def test_a_trial_that_begins_to_be_answered_closes_it_for_the_others():
    circuit = opened()
    circuit.admits(15)
    circuit.begun()
    assert circuit.admits(15)


def test_what_begins_does_not_make_up_for_failures():
    circuit = CircuitBreaker(3, 5)
    failing(circuit, 2)
    circuit.begun()
    failing(circuit, 1)
    assert circuit.state == "open"


def test_a_trial_that_fails_opens_it_for_the_whole_time_again():
    circuit = opened()
    circuit.admits(15)
    circuit.failed(16)
    assert not circuit.admits(20.9)
    assert circuit.admits(21)


def test_a_trial_without_a_verdict_leaves_the_next_one_to_try():
    circuit = opened()
    circuit.admits(15)
    circuit.undecided()
    assert circuit.admits(15)


def test_requests_from_before_it_opened_change_nothing():
    circuit = opened()
    circuit.succeeded()
    circuit.failed(14)
    circuit.undecided()
    assert not circuit.admits(14.9)
    assert circuit.admits(15)
