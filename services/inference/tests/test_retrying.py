from datetime import UTC, datetime

import pytest

from parley_inference.models.retry_policy import backoff_delay, retry_after_of

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("attempt", "jitter", "pause"),
    [(1, 0.0, 0.125), (1, 1.0, 0.25), (2, 1.0, 0.5), (3, 0.5, 0.75), (9, 1.0, 8.0)],
)
def test_each_pause_doubles_up_to_the_most_and_is_spread(attempt, jitter, pause):
    assert backoff_delay(attempt, None, first=0.25, most=8, jitter=jitter) == pause


@pytest.mark.parametrize(("asked", "pause"), [(0.0, 0.0), (3.0, 3.0), (60.0, 8.0)])
def test_what_the_server_asks_for_goes_first_up_to_the_most(asked, pause):
    assert backoff_delay(1, asked, first=0.25, most=8, jitter=0.5) == pause


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
def test_a_server_asks_to_wait_in_seconds_or_until_a_date(headers, seconds):
    assert retry_after_of(headers, NOON) == seconds
