"""The state, dependencies and metrics of a process."""

from datetime import UTC, datetime

from prometheus_client import Gauge

from parley_core.process.dependencies import Dependencies
from parley_core.process.process_monitor import ProcessMonitor


def test_two_applications_in_one_process_have_separate_metrics() -> None:
    for _ in range(2):
        Gauge("parley_outbox_events", "Events.", registry=ProcessMonitor("session").registry)


def test_a_process_is_ready_once_it_has_started_until_it_drains() -> None:
    state = ProcessMonitor("session").state
    state.wait_for("database")
    assert (state.ready, state.phase, state.waiting_for) == (False, "starting", ("database",))
    state.mark_started()
    assert (state.ready, state.phase, state.waiting_for) == (True, "ok", ())
    state.draining = True
    assert (state.ready, state.phase) == (False, "stopping")


def test_the_status_names_each_dependency_and_since_when_it_is_unavailable() -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    dependencies = Dependencies(lambda: now)
    redis = dependencies["redis"]
    assert redis.to_json()["status"] == "unknown"
    redis.report(True)
    now = datetime(2026, 11, 2, tzinfo=UTC)
    for _ in range(2):
        dependencies["redis"].report(False)
        expected = {"status": "unavailable", "since": "2026-11-02T00:00:00+00:00"}
        assert redis.to_json() == expected


def test_only_dependencies_that_were_called_are_reported_as_a_metric() -> None:
    monitor = ProcessMonitor("session")
    monitor.dependencies["redis"].report(False)
    assert monitor.dependencies["kafka"].up is None
    lines = monitor.metrics().decode().splitlines()
    up = [line for line in lines if line.startswith("parley_dependency_up{")]
    assert up == ['parley_dependency_up{dependency="redis"} 0.0']
