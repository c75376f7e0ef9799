from parley_inference.models.server_circuit import MAX_PEOPLE, Person, ServerCircuit

EVE, ADA, BOB = ("default", "eve"), ("default", "ada"), ("default", "bob")


def fail(circuit: ServerCircuit, person: Person, times: int, at: float = 0) -> None:
    for _ in range(times):
        assert circuit.allow(person, at)
        circuit.on_failure(person, at)


def opened() -> ServerCircuit:
    circuit = ServerCircuit(4, 5)
    fail(circuit, ADA, 2)
    fail(circuit, BOB, 2)
    return circuit


def test_one_person_opens_it_for_that_person_alone() -> None:
    circuit = ServerCircuit(4, 5)
    fail(circuit, EVE, 4)
    assert not circuit.allow(EVE, 4.9)
    assert circuit.allow(ADA, 0)
    assert circuit.allow(EVE, 5)


def test_two_people_open_it_for_everybody() -> None:
    circuit = opened()
    assert circuit.state == "open"
    assert not circuit.allow(EVE, 4.9)


def test_one_person_counts_for_half_at_most() -> None:
    circuit = ServerCircuit(4, 5)
    fail(circuit, EVE, 3)
    fail(circuit, ADA, 1)
    assert circuit.allow(BOB, 0)
    circuit.on_failure(BOB, 0)
    assert not circuit.allow(("default", "dan"), 4.9)


def test_a_success_of_anybody_closes_it_for_the_others() -> None:
    circuit = ServerCircuit(4, 5)
    fail(circuit, ADA, 2)
    fail(circuit, BOB, 1)
    circuit.on_success(EVE)
    fail(circuit, BOB, 1)
    assert circuit.state == "closed"


def test_a_failed_trial_of_a_person_with_many_failures_proves_nothing() -> None:
    circuit = opened()
    fail(circuit, ADA, 1, at=5)
    assert circuit.allow(EVE, 5)
    circuit.on_failure(EVE, 5)
    assert not circuit.allow(("default", "dan"), 9.9)


def test_a_trial_that_is_refused_for_everybody_remains_that_persons_trial() -> None:
    circuit = ServerCircuit(2, 5)
    fail(circuit, EVE, 2, at=0)
    fail(circuit, ADA, 1, at=3)
    assert circuit.state == "open"
    assert not circuit.allow(EVE, 5)
    assert circuit.allow(EVE, 8)


def test_the_number_of_people_is_bounded() -> None:
    circuit = ServerCircuit(1_000_000, 5)
    for number in range(MAX_PEOPLE + 10):
        fail(circuit, ("default", str(number)), 1)
    assert len(circuit._people) == MAX_PEOPLE
