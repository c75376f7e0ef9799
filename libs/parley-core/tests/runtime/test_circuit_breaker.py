from parley_core.runtime.circuit_breaker import CircuitBreaker


def fail(circuit: CircuitBreaker, times: int, at: float = 0) -> None:
    for _ in range(times):
        assert circuit.allow(at)
        circuit.on_failure(at)


def opened() -> CircuitBreaker:
    circuit = CircuitBreaker(3, 5)
    fail(circuit, 3, at=10)
    return circuit


def test_it_opens_after_the_threshold_of_consecutive_failures() -> None:
    circuit = CircuitBreaker(3, 5)
    fail(circuit, 2)
    circuit.on_success()
    fail(circuit, 2)
    before = circuit.state
    fail(circuit, 1)
    assert (before, circuit.state) == ("closed", "open")
    assert not circuit.allow(4.9)


def test_after_the_open_time_one_request_is_the_trial() -> None:
    circuit = opened()
    assert circuit.allow(15)
    assert circuit.state == "half_open"
    assert not circuit.allow(15)


def test_a_trial_that_succeeds_closes_it() -> None:
    circuit = opened()
    circuit.allow(15)
    circuit.on_success()
    fail(circuit, 2, at=15)
    assert circuit.state == "closed"


def test_a_failed_trial_opens_it_for_the_whole_open_time_again() -> None:
    circuit = opened()
    circuit.allow(15)
    circuit.on_failure(16)
    assert not circuit.allow(20.9)
    assert circuit.allow(21)


def test_after_an_inconclusive_trial_the_next_request_is_the_trial() -> None:
    circuit = opened()
    circuit.allow(15)
    circuit.on_inconclusive()
    assert circuit.allow(15)


def test_requests_that_started_before_it_opened_change_nothing() -> None:
    circuit = opened()
    circuit.on_success()
    circuit.on_failure(14)
    circuit.on_inconclusive()
    assert not circuit.allow(14.9)
    assert circuit.allow(15)
