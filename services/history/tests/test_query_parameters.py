"""Parameters that are wrong are refused by name, and those that are right are what they say."""

from datetime import UTC, date, datetime, timedelta, timezone
from uuid import uuid4

import pytest

from parley_core.auth.principal import Principal
from parley_core.http.errors import InvalidRequest
from parley_history.queries.messages.page_request import PageRequest, page_request_of
from parley_history.queries.sessions.request import SessionListRequest, session_list_request_of
from parley_history.queries.usage.request import UsageRequest, usage_request_of

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
def test_a_wrong_parameter_of_a_page_of_messages_is_named(query, param):
    with pytest.raises(InvalidRequest) as refused:
        page_request_of(query, NOW)
    assert refused.value.param == param


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
        ({"seen": "what"}, "seen"),
        ({"seen": f"{AN_ID}:0"}, "seen"),
        ({"seen": f"{AN_ID}:{2**31}"}, "seen"),
        ({"seen": f"{AN_ID}:1:2"}, "seen"),
        ({"seen": ",".join(f"{uuid4()}:1" for _ in range(1_001))}, "seen"),
    ],
)
def test_a_wrong_parameter_of_a_list_of_sessions_is_named(query, param):
    with pytest.raises(InvalidRequest) as refused:
        session_list_request_of(query)
    assert refused.value.param == param


def test_what_is_left_out_has_its_default():
    assert page_request_of({}, NOW) == PageRequest(limit=20, order="desc")
    assert session_list_request_of({}) == SessionListRequest(limit=20, archived=False)


def test_digits_are_a_version_and_anything_else_is_an_instant():
    assert page_request_of({"as_of": "7"}, NOW).as_of_version == 7
    for text in ("2026-11-24T11:00:00Z", "2026-11-24t12:30:00.000000000+01:30"):
        asked = page_request_of({"as_of": text}, NOW)
        assert asked.as_of_instant == NOW - timedelta(hours=1)
        assert asked.as_of_version is None


def test_now_is_not_in_the_future_whatever_its_offset():
    there = NOW.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat()
    assert page_request_of({"as_of": there}, NOW).as_of_instant == NOW


def test_versions_that_were_seen_are_by_session():
    other = uuid4()
    asked = session_list_request_of({"seen": f"{AN_ID}:3,{other}:14"})
    assert asked.seen == {AN_ID: 3, other: 14}


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
def test_a_wrong_parameter_of_usage_is_named(query, param):
    with pytest.raises(InvalidRequest) as refused:
        usage_request_of(query, PERSON, NOW.date())
    assert refused.value.param == param


def test_usage_is_of_30_days_up_to_today_or_of_those_asked_for():
    def days(**query):
        asked = usage_request_of(query, PERSON, NOW.date())
        return asked.start, asked.end

    assert days() == (date(2026, 10, 26), date(2026, 11, 24))
    assert days(end="2026-03-01") == (date(2026, 1, 31), date(2026, 3, 1))
    assert days(start="2026-11-24") == (date(2026, 11, 24), date(2026, 11, 24))
    assert days(start="2025-11-24") == (date(2025, 11, 24), date(2026, 11, 24))
    assert days(end="0001-01-03") == (date(1, 1, 1), date(1, 1, 3))
    assert days(start="9999-12-31", end="9999-12-31") == (date(9999, 12, 31),) * 2


def test_a_request_for_usage_is_read_whole():
    query = {
        "start": "2026-11-01",
        "group_by": "day",
        "session_id": str(AN_ID),
        "assistant_id": "helper",
        "model": "demo",
        "limit": "7",
        "after": "2026-11-02",
    }
    assert usage_request_of(query, PERSON, NOW.date()) == UsageRequest(
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
