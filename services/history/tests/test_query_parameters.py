"""Parameters that are wrong are refused by name, and those that are right are what they say."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest

from parley_core.errors import InvalidRequest
from parley_history.page_request import PageRequest, page_request_of
from parley_history.session_list.request import SessionListRequest, session_list_request_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
AN_ID = uuid4()

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
