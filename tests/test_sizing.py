"""The calculator of sizes: its arithmetic, its bounds and its advice."""

import dataclasses

import pytest

from benchmarks.sizing import (
    LADDER,
    MIN_REPLICAS,
    STREAMS_PER_GATEWAY,
    TURNS_PER_INFERENCE,
    Habits,
    Sizing,
    main,
    peak_load,
    size,
)

PROCESSES = ("gateway", "session", "inference", "history_serve", "history_project")


def test_the_peak_is_a_multiple_of_the_mean_of_the_day() -> None:
    load = peak_load(86_400, Habits(turns=10, tokens=300, pace=30, reads=3, peak=4))
    assert load.turns == 40
    assert load.tokens == 12_000
    assert load.streams == 400  # A reply of 300 tokens takes 10 s.
    assert load.reads == 120
    assert load.events == 120


def test_a_hundred_users_need_one_replica_in_each_zone() -> None:
    sizing = size(100, Habits())
    for name in PROCESSES:
        process = getattr(sizing, name)
        assert (process.replicas, process.bound) == (MIN_REPLICAS, "zones")
    assert sizing.advice == []


def test_ten_times_the_users_make_ten_times_the_load() -> None:
    small, large = size(10_000, Habits()), size(100_000, Habits())
    for field in dataclasses.fields(small.load):
        expected = 10 * getattr(small.load, field.name)
        assert getattr(large.load, field.name) == pytest.approx(expected)
    assert large.store_bytes == pytest.approx(10 * small.store_bytes)
    assert large.gateway.cores == pytest.approx(10 * small.gateway.cores)


def test_more_users_never_need_less() -> None:
    sizings = [size(users, Habits()) for users in LADDER]
    for field in dataclasses.fields(Sizing):
        values = [getattr(each, field.name) for each in sizings]
        if field.name in PROCESSES:
            values = [each.replicas for each in values]
        if field.name != "load":
            assert values == sorted(values), field.name


def test_slow_model_servers_need_more_processes_for_the_open_streams() -> None:
    sizing = size(1_000_000, Habits(pace=1))
    assert sizing.inference.bound == "streams"
    assert sizing.inference.replicas >= sizing.load.streams / TURNS_PER_INFERENCE
    assert sizing.gateway.replicas >= sizing.load.streams / STREAMS_PER_GATEWAY


def test_reads_that_no_gateway_has_in_memory_cost_history_more() -> None:
    cached, uncached = (size(1_000_000, Habits(cached=share)) for share in (1, 0.01))
    assert uncached.history_serve.cores > cached.history_serve.cores
    assert uncached.history_database_cores > cached.history_database_cores
    assert uncached.session_database_cores == cached.session_database_cores


def test_years_of_a_million_users_need_cells() -> None:
    sizing = size(1_000_000, Habits(days=10 * 365))
    assert sizing.cells > 1
    assert f"{sizing.cells} cells" in sizing.advice


@pytest.mark.parametrize(
    "arguments",
    [["--daily-users", "0"], ["--turns", "0"], ["--cached", "1.5"], ["--daily-users", "many"]],
)
def test_a_number_that_makes_no_sense_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2


def test_the_command_prints_a_column_for_each_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--daily-users", "100", "1000000"]) == 0
    output = capsys.readouterr().out
    assert "1,000,000" in output
    assert "history-project" in output
