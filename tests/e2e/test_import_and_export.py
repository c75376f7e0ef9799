"""Importing messages into a session; exporting sessions and all data of a user."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from e2e_support.model_server import ModelServer
from e2e_support.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")

THEN = "2025-03-01T08:00:00.000000Z"
RECORDS = [
    {"role": "system", "content": "Be brief.", "created_at": THEN},
    {"role": "user", "content": "What did I say?", "created_at": THEN},
    {"role": "assistant", "content": "Nothing yet.", "created_at": THEN},
]


async def test_messages_imported_twice_are_stored_once(
    ada: User, model_server: ModelServer
) -> None:
    session = await ada.start_session()
    first = await ada.post(f"/history/{session}", {"messages": RECORDS})
    assert (first["imported"], first["skipped"]) == (3, 0)
    again = await ada.post(f"/history/{session}", {"messages": RECORDS})
    assert (again["imported"], again["skipped"]) == (0, 3)
    assert again["version"] == first["version"]

    page = await ada.history(session, order="asc")
    keys = ("role", "content", "created_at")
    assert [{key: message[key] for key in keys} for message in page["data"]] == RECORDS
    await ada.send(session, text := f"And now? {uuid4()}")
    [[_, *context]] = model_server.prompts_with(text)
    assert [message["content"] for message in context] == [
        *("What did I say?", "Nothing yet."),  # System messages are not imported into the prompt.
        text,
    ]


async def test_a_client_chosen_message_id_identifies_one_content(ada: User) -> None:
    session, chosen = await ada.start_session(), str(uuid4())
    record = {"id": chosen, "role": "user", "content": "Once"}
    path = f"/history/{session}"
    await ada.post(path, {"messages": [record]})
    assert (await ada.post(path, {"messages": [record]}))["skipped"] == 1
    other = record | {"content": "Twice"}
    status, error = await ada.expect_error("POST", path, json={"messages": [other]})
    assert (status, error["code"]) == (409, "message_id_conflict")
    assert [message["id"] for message in (await ada.history(session))["data"]] == [chosen]


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{"role": "wizard", "content": "x"}], "messages.0.role"),
        ([{"role": "user"}], "messages.0.content"),
        ([{"role": "user", "content": ""}], "messages.0.content"),
        ([{"role": "user", "content": "x", "created_at": "yesterday"}], "messages.0.created_at"),
        ([{"role": "user", "content": "x", "id": "7"}], "messages.0.id"),
        ([{"role": "user", "content": "x", "colour": "red"}], "messages.0.colour"),
    ],
)
async def test_an_invalid_message_is_rejected_with_its_field(
    ada: User, messages: list[dict[str, Any]], param: str
) -> None:
    session = await ada.start_session()
    good = {"role": "user", "content": "Good"}
    request = {"messages": [*messages, good]}
    status, error = await ada.expect_error("POST", f"/history/{session}", json=request)
    assert (status, error["param"]) == (400, param)
    assert (await ada.history(session))["data"] == []


async def test_future_times_and_duplicate_ids_are_rejected(ada: User) -> None:
    session = await ada.start_session()
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    late = {"role": "user", "content": "x", "created_at": tomorrow}
    status, error = await ada.expect_error("POST", f"/history/{session}", json={"messages": [late]})
    assert (status, error["param"]) == (400, "messages.0.created_at")
    twice = {"role": "user", "content": "x", "id": str(uuid4())}
    body = {"messages": [twice, twice]}
    status, error = await ada.expect_error("POST", f"/history/{session}", json=body)
    assert (status, error["param"]) == (400, "messages.1.id")


async def test_an_export_contains_every_branch_and_is_the_same_after_its_import(
    ada: User,
) -> None:
    session = await ada.start_session(title="Plans", metadata={"topic": "travel"})
    await ada.send(session, "Once")
    await ada.post(f"/sessions/{session}/regenerate", {})
    edit = {"content": "Twice", "parent_message_id": None}
    await ada.post(f"/sessions/{session}/messages", edit)
    refused = await ada.send(session, "[refuse 401]")
    await ada.post(f"/sessions/{session}/regenerate", {})
    history = await ada.history(session, order="asc", branches="all")

    exported = await ada.request("GET", f"/sessions/{session}/export")
    assert exported.headers["content-type"] == "application/json"
    assert "attachment" in exported.headers["content-disposition"]
    document = exported.json()
    assert document["session"]["title"] == "Plans"
    assert document["session"]["metadata"] == {"topic": "travel"}
    assert document["messages"] == history["data"]
    failed = [message for message in document["messages"] if message["status"] == "failed"]
    assert refused["reply"]["error_code"] == refused["error"]["code"]
    assert {message["error_code"] for message in failed} == {refused["error"]["code"]}

    copy = await ada.start_session()
    imported = await ada.post(f"/history/{copy}", document)
    assert (imported["imported"], imported["failed"]) == (len(document["messages"]), 0)
    again = (await ada.request("GET", f"/sessions/{copy}/export")).json()
    assert list(map(conversation, again["messages"])) == list(
        map(conversation, document["messages"])
    )
    assert {message["session_id"] for message in again["messages"]} == {copy}
    assert {message["turn_id"] for message in again["messages"]} == {None}
    # The current branch.
    pages = [(await ada.history(each))["data"] for each in (session, copy)]
    assert list(map(conversation, pages[0])) == list(map(conversation, pages[1]))
    third = await ada.start_session()
    await ada.post(f"/history/{third}", again)
    last = (await ada.request("GET", f"/sessions/{third}/export")).json()
    assert list(map(conversation, last["messages"])) == list(
        map(conversation, document["messages"])
    )


async def test_a_long_session_is_imported_in_parts_of_which_one_is_sent_twice(ada: User) -> None:
    session, copy = await ada.start_session(), await ada.start_session()
    roles = ("user", "assistant")
    records = [{"role": roles[n % 2], "content": f"message {n}"} for n in range(1_200)]
    for start in (0, 1_000):
        await ada.post(f"/history/{session}", {"messages": records[start : start + 1_000]})
    exported = (await ada.request_with_retries("GET", f"/sessions/{session}/export"))["messages"]
    assert [message["content"] for message in exported] == [each["content"] for each in records]
    parts = [exported[:1_000], exported[500:1_100], exported[1_000:]]
    counts = [await ada.post(f"/history/{copy}", {"messages": part}) for part in parts]
    imported = [(count["imported"], count["skipped"]) for count in counts]
    assert imported == [(1_000, 0), (100, 500), (100, 100)]
    again = (await ada.request_with_retries("GET", f"/sessions/{copy}/export"))["messages"]
    assert list(map(conversation, again)) == list(map(conversation, exported))


async def test_an_import_right_after_a_cancel_follows_the_stopped_reply(ada: User) -> None:
    session = await ada.start_session()
    body = {"content": "[pace 600]", "background": True}
    turn = (await ada.request("POST", f"/sessions/{session}/messages", json=body)).json()
    await ada.post(f"/turns/{turn['id']}/cancel", {})
    record = {"role": "user", "content": "From elsewhere"}
    assert (await ada.post(f"/history/{session}", {"messages": [record]}))["imported"] == 1
    newest, stopped, _ = (await ada.history(session))["data"]
    assert (newest["content"], newest["parent_message_id"]) == ("From elsewhere", stopped["id"])
    assert stopped["status"] == "cancelled"


def conversation(message: dict[str, Any]) -> dict[str, Any]:
    """The message without what an import does not keep."""
    return {k: v for k, v in message.items() if k not in ("session_id", "turn_id", "version")}


async def test_bad_messages_are_named_and_may_be_skipped(ada: User) -> None:
    session = await ada.start_session()
    good, bad = {"role": "user", "content": "Good"}, {"role": "user", "content": ""}
    body: dict[str, Any] = {"messages": [bad, good, bad | {"colour": "red"}]}
    status, error = await ada.expect_error("POST", f"/history/{session}", json=body)
    assert (status, error["code"], error["param"]) == (400, "invalid_request", "messages.0.content")
    named = [(each["index"], each["param"]) for each in error["records"]]
    assert named == [(0, "messages.0.content"), (2, "messages.2.colour")]
    body["on_error"] = "skip"
    imported = await ada.post(f"/history/{session}", body)
    assert (imported["imported"], imported["failed"]) == (1, 2)
    assert [(each["index"], each["param"]) for each in imported["errors"]] == named
    assert [message["content"] for message in (await ada.history(session))["data"]] == ["Good"]


async def test_a_markdown_export_contains_the_conversation_in_order(ada: User) -> None:
    session = await ada.start_session(title="Plans")
    turn = await ada.send(session, "Where to?")
    await ada.messages(session, turn["version"])
    exported = await ada.request(
        "GET", f"/sessions/{session}/export", params={"format": "markdown"}
    )
    assert exported.headers["content-type"].startswith("text/markdown")
    title, question, answer = (
        exported.text.index(text) for text in ("# Plans", "Where to?", "Answer to: Where to?")
    )
    assert title < question < answer


async def test_an_export_contains_all_sessions_of_one_user_only(
    ada: User,
) -> None:
    sessions = [await ada.start_session(title=f"Session {n}") for n in range(3)]
    for session in sessions:
        turn = await ada.send(session, f"In {session}")
        await ada.messages(session, turn["version"])
    document = json.loads((await ada.request("GET", "/export")).text)
    assert {each["session"]["id"] for each in document["sessions"]} == set(sessions)
    assert all(len(each["messages"]) == 2 for each in document["sessions"])
    text = (await ada.request("GET", "/export", params={"format": "markdown"})).text
    assert all(f"In {session}" in text for session in sessions)
    status, error = await ada.expect_error("GET", "/export", params={"format": "docx"})
    assert (status, error["param"]) == (400, "format")
