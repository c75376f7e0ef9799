"""Query parameters are parsed, and invalid ones are rejected by name."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest

from parley_core.auth.principal import Principal
from parley_core.http.errors import InvalidRequest
from parley_history.queries.messages.page_request import PageRequest, parse_page_request
from parley_history.queries.sessions.request import SessionListRequest, parse_session_list_request
from parley_history.queries.usage.request import UsageRequest, parse_usage_request

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
AN_ID = uuid4()
PERSON = Principal("default", "ada")

COMMON = [
    ({"limit": "0"}, "limit"),
    ({"limit": "101"}, "limit"),
    ({"limit": "ten"}, "limit"),
    ({"limit": ""}, "limit"),
    ({"limit": "9" * 5000}, "limit"),
    ({"order": "up"}, "order"),
    ({"after": "7"}, "after"),
    ({"before": ""}, "before"),
    ({"after": str(AN_ID), "before": str(AN_ID)}, "before"),
]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        *COMMON,
        ({"min_version": "0"}, "min_version"),
        ({"min_version": "-1"}, "min_version"),
        ({"min_version": "1.5"}, "min_version"),
        ({"min_version": "٣"}, "min_version"),
        ({"min_version": str(2**31)}, "min_version"),
        ({"as_of": "0"}, "as_of"),
        ({"as_of": ""}, "as_of"),
        ({"as_of": "٣"}, "as_of"),
        ({"as_of": "-1"}, "as_of"),
        ({"as_of": str(2**31)}, "as_of"),
        ({"as_of": "yesterday"}, "as_of"),
        ({"as_of": "2026-11-24"}, "as_of"),
        ({"as_of": "2026-11-24T11:00:00"}, "as_of"),
        ({"as_of": "2026-11-24 11:00:00Z"}, "as_of"),
        ({"as_of": "2026-11-24T11:00:00 00:00"}, "as_of"),
        ({"as_of": "2026-13-24T11:00:00Z"}, "as_of"),
        ({"as_of": "2026-11-24T11:00:60Z"}, "as_of"),
        ({"as_of": "0001-01-01T00:00:00+23:00"}, "as_of"),
        ({"as_of": "2026-11-24T12:00:00.000001Z"}, "as_of"),
        ({"leaf": "7"}, "leaf"),
        ({"branches": "some"}, "branches"),
        ({"branches": "all", "leaf": str(AN_ID)}, "branches"),
    ],
)
def test_an_invalid_parameter_of_a_message_page_is_named(
    query: dict[str, Any], param: str | None
) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_page_request(query, NOW)
    assert error.value.param == param


@pytest.mark.parametrize(
    ("query", "param"),
    [
        *COMMON,
        ({"archived": "maybe"}, "archived"),
        ({"assistant_id": ""}, "assistant_id"),
        ({"assistant_id": "a\x00b"}, "assistant_id"),
        ({"assistant_id": "a" * 201}, "assistant_id"),
        ({"updated_after": "7"}, "updated_after"),
        ({"updated_before": "2026-11-24"}, "updated_before"),
    ],
)
def test_an_invalid_parameter_of_a_session_list_is_named(
    query: dict[str, Any], param: str | None
) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_session_list_request(query)
    assert error.value.param == param


def test_omitted_parameters_have_defaults() -> None:
    assert parse_page_request({}, NOW) == PageRequest(limit=20, order="desc")
    assert parse_session_list_request({}) == SessionListRequest(limit=20, archived=False)


def test_as_of_digits_are_a_version_and_other_values_a_time() -> None:
    assert parse_page_request({"as_of": "7"}, NOW).as_of_version == 7
    for text in ("2026-11-24T11:00:00Z", "2026-11-24t12:30:00.000000000+01:30"):
        request = parse_page_request({"as_of": text}, NOW)
        assert request.as_of_instant == NOW - timedelta(hours=1)
        assert request.as_of_version is None


def test_the_current_time_is_valid_in_any_time_zone() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat()
    assert parse_page_request({"as_of": there}, NOW).as_of_instant == NOW


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"start": "2026-11-25"}, "start"),
        ({"start": "2025-11-23"}, "start"),
        ({"start": "20261124"}, "start"),
        ({"start": "2026-W48-2"}, "start"),
        ({"start": "٢٠٢٦-11-24"}, "start"),
        ({"end": "2026-02-30"}, "end"),
        ({"end": "2026-11-24T00:00:00Z"}, "end"),
        ({"end": ""}, "end"),
        ({"group_by": "hour"}, "group_by"),
        ({"group_by": ""}, "group_by"),
        ({"session_id": "7"}, "session_id"),
        ({"assistant_id": "a\x00"}, "assistant_id"),
        ({"model": "m" * 501}, "model"),
        ({"limit": "101"}, "limit"),
        ({"after": "x"}, "after"),
        ({"after": "x", "group_by": "day"}, "after"),
        ({"after": "x", "group_by": "session"}, "after"),
        ({"after": "\x00", "group_by": "model"}, "after"),
    ],
)
def test_an_invalid_parameter_of_a_usage_report_is_named(
    query: dict[str, Any], param: str | None
) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_usage_request(query, PERSON, NOW.date())
    assert error.value.param == param


def test_usage_covers_the_last_30_days_by_default() -> None:
    def days(**query: Any) -> Any:
        request = parse_usage_request(query, PERSON, NOW.date())
        return request.start, request.end

    assert days() == (date(2026, 10, 26), date(2026, 11, 24))
    assert days(end="2026-03-01") == (date(2026, 1, 31), date(2026, 3, 1))
    assert days(start="2026-11-24") == (date(2026, 11, 24), date(2026, 11, 24))
    assert days(start="2025-11-24") == (date(2025, 11, 24), date(2026, 11, 24))
    assert days(end="0001-01-03") == (date(1, 1, 1), date(1, 1, 3))
    assert days(start="9999-12-31", end="9999-12-31") == (date(9999, 12, 31),) * 2


def test_all_parameters_of_a_usage_report_are_parsed() -> None:
    query = {
        "start": "2026-11-01",
        "group_by": "day",
        "session_id": str(AN_ID),
        "assistant_id": "helper",
        "model": "demo",
        "limit": "7",
        "after": "2026-11-02",
    }
    assert parse_usage_request(query, PERSON, NOW.date()) == UsageRequest(
        start=date(2026, 11, 1),
        end=date(2026, 11, 24),
        user="ada",
        group_by="day",
        session_id=AN_ID,
        assistant_id="helper",
        model="demo",
        limit=7,
        after=date(2026, 11, 2),
    )
