"""Usage records are reported, or dropped with a log line that has their id."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from parley_core.http.errors import Unavailable
from parley_events.values import Usage
from parley_inference.completions import usage_reporter
from parley_inference.completions.usage_reporter import UsageReporter
from parley_inference.session.usage_record import UsageRecord
from parley_testing.stored_turn import ADA


class FailingSession:
    def __init__(self, error: Exception) -> None:
        self._error = error

    async def record_completion(self, record: UsageRecord) -> None:
        raise self._error


def usage_record() -> UsageRecord:
    usage = Usage(prompt_tokens=1, completion_tokens=1)
    return UsageRecord(uuid4(), ADA, "req-1", "demo", "completed", usage, None)


async def test_unreported_records_are_dropped_and_logged_at_shutdown(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_reporter, "QUEUE_SIZE", 2)
    monkeypatch.setattr(usage_reporter, "MAX_CONCURRENCY", 1)
    session: Any = FailingSession(Unavailable("down", code="session_unavailable"))
    reporter = UsageReporter(session)
    in_progress, queued, excess = usage_record(), usage_record(), usage_record()
    async with reporter.run(flush_seconds=0.01):
        reporter.report(in_progress)
        await asyncio.sleep(0)
        reporter.report(queued)
        reporter.report(usage_record())
        reporter.report(excess)
    assert reporter.dropped == 4
    for record, reason in (
        (excess, "queue full"),
        (in_progress, "process shutdown"),
        (queued, "process shutdown"),
    ):
        assert f"usage of completion {record.id} dropped: {reason}" in caplog.text


async def test_a_record_that_fails_unexpectedly_counts_as_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    session: Any = FailingSession(RuntimeError("unexpected"))
    reporter, record = UsageReporter(session), usage_record()
    async with reporter.run(flush_seconds=5):
        reporter.report(record)
    assert reporter.dropped == 1
    assert f"usage of completion {record.id} dropped: unexpected error" in caplog.text
