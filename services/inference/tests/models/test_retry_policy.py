from datetime import UTC, datetime

import pytest

from parley_inference.models import retry_policy
from parley_inference.models.failures import UpstreamError
from parley_inference.models.retry_policy import parse_retry_after, retry

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The delays between attempts, which are recorded and not slept."""
    delays: list[float] = []

    async def sleep(seconds: float) -> None:
        delays.append(seconds)

    monkeypatch.setattr("parley_inference.models.retry_policy.asyncio.sleep", sleep)
    monkeypatch.setattr(retry_policy, "INITIAL_DELAY_SECONDS", 0.25)
    monkeypatch.setattr(retry_policy, "MAX_DELAY_SECONDS", 8.0)
    return delays


async def fail(retry_after: float | None = None, *, transient: bool = True) -> None:
    raise UpstreamError("upstream_unavailable", transient=transient, retry_after=retry_after)


async def test_delays_double_between_attempts(delays: list[float]) -> None:
    with pytest.raises(UpstreamError):
        await retry(fail, 4)
    assert len(delays) == 3
    for delay, maximum in zip(delays, (0.25, 0.5, 1.0), strict=True):
        assert maximum / 2 <= delay <= maximum


@pytest.mark.parametrize(("retry_after", "delay"), [(0.0, 0.0), (3.0, 3.0), (60.0, 8.0)])
async def test_retry_after_replaces_the_delay_up_to_the_maximum(
    delays: list[float], retry_after: float, delay: float
) -> None:
    with pytest.raises(UpstreamError):
        await retry(lambda: fail(retry_after), 2)
    assert delays == [delay]


async def test_a_permanent_failure_is_not_retried(delays: list[float]) -> None:
    with pytest.raises(UpstreamError):
        await retry(lambda: fail(transient=False), 3)
    assert delays == []


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Tue, 24 Nov 2026 12:00:09 GMT"}, 9),
        ({"retry-after": "Tue, 24 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "Tue, 24 Nov 2026 12:00:09 -0000"}, 9),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
    ],
)
def test_retry_after_is_parsed_as_seconds_or_date(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert parse_retry_after(headers, NOON) == seconds
