"""The state, dependencies and metrics of a process."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import Gauge

from parley_core.process import process_monitor
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


def test_the_build_has_the_revision_that_the_image_was_built_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert ProcessMonitor("session").revision == ""  # Of a checkout.
    monkeypatch.setattr(process_monitor, "files", lambda _: tmp_path)
    (tmp_path / "revision.txt").write_text("0f3c2a1\n")
    monitor = ProcessMonitor("session")
    assert b'parley_build_info{revision="0f3c2a1"' in monitor.metrics()
    assert monitor.status()["revision"] == "0f3c2a1"
