"""Importing messages, over HTTP."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from session_support.client import ADA, EVE, ApiResponse
from session_support.service import Service

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool

RECORDS = [
    {"role": "user", "content": "Größe 🎈", "created_at": "2020-01-02T03:04:05.678901+02:00"},
    {"role": "assistant", "content": "two"},
    {"role": "system", "content": "three"},
]


async def bring(
    session: Service, session_id: str, *messages: Any, who: Principal = ADA, **body: Any
) -> ApiResponse:
    path = f"/sessions/{session_id}/import"
    return await session.call("POST", path, {"messages": messages, **body}, who=who)


async def shown(session: Service) -> list[dict[str, Any]]:
    response = await session.call("POST", "/switch-assistant", {"assistant_id": "helper"})
    return list(response.body["messages"])


async def test_imported_messages_follow_the_newest_message(session: Service) -> None:
    session_id = (await session.start())["id"]
    turn = await session.answered(session_id, "hello", "hi")
    response = await bring(session, session_id, *RECORDS)
    assert (response.status, response.body) == (
        200,
        {
            "object": "history_import",
            "session_id": session_id,
            "imported": 3,
            "skipped": 0,
            "failed": 0,
            "errors": [],
            "version": 7,
        },
    )
    messages = (await shown(session))[2:]
    assert [(m["role"], m["content"]) for m in messages] == [
        (record["role"], record["content"]) for record in RECORDS
    ]
    assert messages[0]["created_at"] == "2020-01-02T01:04:05.678901Z"
    parents = [message["parent_message_id"] for message in messages]
    assert parents == [turn["reply_id"], messages[0]["id"], messages[1]["id"]]
    assert {message["turn_id"] for message in messages} == {None}


async def test_a_repeated_import_changes_nothing(session: Service) -> None:
    session_id = (await session.start())["id"]
    given = [*RECORDS, RECORDS[1], {"id": str(uuid4()), "role": "user", "content": "named"}]
    first = await bring(session, session_id, *given)
    assert (first.body["imported"], first.body["version"]) == (5, 6)
    repeated = await bring(session, session_id, *given)
    assert (
        repeated.body["imported"],
        repeated.body["skipped"],
        repeated.body["version"],
    ) == (0, 5, 6)
    more = await bring(session, session_id, *given, {"role": "user", "content": "new"})
    assert (more.body["imported"], more.body["skipped"], more.body["version"]) == (1, 5, 7)


async def test_equal_messages_in_different_parts_of_an_import_are_all_stored(
    session: Service,
) -> None:
    session_id = (await session.start())["id"]
    ok = {"role": "assistant", "content": "ok"}
    parts = [
        [{"role": "user", "content": "first"}, ok],
        [{"role": "user", "content": "second"}, ok],
        [ok, {"role": "user", "content": "third"}],
        [ok, {"role": "user", "content": "fourth"}],
        [ok, {"role": "user", "content": "fifth"}],
    ]
    for part in parts:
        assert (await bring(session, session_id, *part)).body["imported"] == 2
    await session.answered(session_id, "hello", "hi")
    for part in parts:
        repeated = (await bring(session, session_id, *part)).body
        assert (repeated["imported"], repeated["skipped"]) == (0, 2)
    contents = [message["content"] for message in await shown(session)]
    expected = [message["content"] for part in parts for message in part]
    assert contents == [*expected, "hello", "hi"]


async def test_concurrent_equal_imports_are_applied_once(session: Service, pool: Pool) -> None:
    session_id = (await session.start())["id"]
    responses = await asyncio.gather(*(bring(session, session_id, *RECORDS) for _ in range(5)))
    assert sorted(response.body["imported"] for response in responses) == [0, 0, 0, 0, 3]
    assert await pool.fetchval("SELECT count(*) FROM events") == 4


async def test_an_id_of_a_different_message_is_rejected(session: Service) -> None:
    session_id = (await session.start())["id"]
    turn = await session.answered(session_id, "hello", "hi")
    same = {"id": turn["reply_id"], "role": "assistant", "content": "hi"}
    assert (await bring(session, session_id, same)).body["skipped"] == 1
    for change in (
        {"content": "ho"},
        {"role": "user"},
        {"status": "cancelled"},
        {"parent_message_id": None},
        {"id": turn["id"]},
    ):
        response = await bring(session, session_id, RECORDS[0], same | change)
        assert response.error == (409, "message_id_conflict", "messages.1.id")
    assert (await session.call("GET", f"/sessions/{session_id}")).body["version"] == 4


TWICE = {"id": str(uuid4()), "role": "user", "content": "x"}
SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


USER = {"role": "user", "content": "x"}
REPLY = {"role": "assistant", "content": "x"}
WRONG: list[tuple[list[Any], str]] = [
    ([{"role": "tool", "content": "x"}], "messages.0.role"),
    ([{"role": "user", "content": ""}], "messages.0.content"),
    ([{"role": "user"}], "messages.0.content"),
    ([7], "messages.0"),
    ([USER | {"colour": "red"}], "messages.0.colour"),
    ([USER | {"id": "x"}], "messages.0.id"),
    ([USER | {"status": "failed"}], "messages.0.status"),
    ([USER | {"model": "m"}], "messages.0.model"),
    ([USER | {"finish_reason": "stop"}], "messages.0.finish_reason"),
    ([USER | {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}], "messages.0.usage"),
    ([USER | {"error_code": "timeout"}], "messages.0.error_code"),
    ([USER | {"parent_message_id": str(uuid4())}], "messages.0.parent_message_id"),
    ([REPLY | {"content": ""}], "messages.0.content"),
    ([REPLY | {"status": "running"}], "messages.0.status"),
    ([REPLY | {"model": "a\x00"}], "messages.0.model"),
    ([REPLY | {"finish_reason": "bored"}], "messages.0.finish_reason"),
    ([REPLY | {"usage": {"prompt_tokens": 1}}], "messages.0.usage.completion_tokens"),
    (
        [REPLY | {"usage": {"prompt_tokens": 2**31, "completion_tokens": 1}}],
        "messages.0.usage.prompt_tokens",
    ),
    ([TWICE, TWICE], "messages.1.id"),
    ([RECORDS[1], RECORDS[1] | {"created_at": SOON}], "messages.1.created_at"),
    ([RECORDS[1] | {"created_at": "0001-01-01T00:00:00+14:00"}], "messages.0.created_at"),
    ([RECORDS[1] | {"created_at": "2020-01-01T00:00:00"}], "messages.0.created_at"),
    ([RECORDS[1]] * 1_001, "messages"),
]


async def test_an_invalid_import_names_the_field_and_changes_nothing(session: Service) -> None:
    session_id = (await session.start())["id"]
    for messages, param in WRONG:
        response = await bring(session, session_id, *messages)
        assert response.error == (400, "invalid_request", param)
    assert (await session.call("GET", f"/sessions/{session_id}")).body["version"] == 1


async def test_a_message_that_fits_no_event_is_too_large(session: Service) -> None:
    session_id = (await session.start())["id"]
    for content in ("x" * (256 * 1024 + 1), "\x00" * (256 * 1024)):
        large = {"role": "user", "content": content}
        response = await bring(session, session_id, RECORDS[0], large)
        assert response.error[:2] == (413, "message_too_large")
    assert (await session.call("GET", f"/sessions/{session_id}")).body["version"] == 1


async def test_a_thousand_messages_are_imported_once_and_in_order(session: Service) -> None:
    session_id = (await session.start())["id"]
    given = [{"role": "user", "content": f"{number} " * 20} for number in range(1_000)]
    assert (await bring(session, session_id, *given)).body["imported"] == 1_000
    repeated = (await bring(session, session_id, *given)).body
    assert (repeated["skipped"], repeated["version"]) == (1_000, 1_001)
    assert [m["content"] for m in await shown(session)] == [m["content"] for m in given[-20:]]


async def test_an_import_is_rejected_during_a_turn_and_for_anyone_but_the_owner(
    session: Service,
) -> None:
    turn = await session.open_turn()
    response = await bring(session, turn["session_id"], *RECORDS)
    assert response.error == (409, "turn_open", None)
    response = await bring(session, turn["session_id"], *RECORDS, who=EVE)
    assert response.error == (404, "session_not_found", None)


async def test_an_import_over_the_message_limit_is_rejected(serve: Any) -> None:
    session = await serve(session_max_messages_per_session=3)
    session_id = (await session.start())["id"]
    assert (await bring(session, session_id, *RECORDS)).status == 200
    assert (await bring(session, session_id, *RECORDS)).status == 200
    response = await bring(session, session_id, {"role": "user", "content": "more"})
    assert response.error == (409, "session_full", None)


async def test_a_reply_to_an_imported_message_can_be_requested(session: Service) -> None:
    session_id = (await session.start())["id"]
    await bring(session, session_id, *RECORDS[:2])
    response = await session.call("POST", f"/sessions/{session_id}/regenerate", {})
    assert response.status == 201
    assert response.body["message"]["content"] == RECORDS[0]["content"]
    context = (await session.claim(response.body["id"], str(uuid4())))["run"]["context"]
    assert [message["content"] for message in context["messages"]] == [RECORDS[0]["content"]]
