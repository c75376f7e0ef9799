"""Importing the messages of an export, and imports of which some messages are bad, over HTTP."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from session_support.client import ADA, ApiResponse
from session_support.service import Service

ROOT, EDIT, FAILED, OTHER = (str(UUID(int=number)) for number in range(1, 5))
THEN = "2025-03-01T08:00:00.000000Z"
# As an export writes them: two root messages, the second one with two replies.
EXPORTED: list[dict[str, Any]] = [
    {"id": ROOT, "parent_message_id": None, "role": "user", "content": "one"},
    {"id": EDIT, "parent_message_id": None, "role": "user", "content": "One"},
    {
        "id": FAILED,
        "parent_message_id": EDIT,
        "role": "assistant",
        "content": "",
        "status": "failed",
        "model": "m",
        "error_code": "upstream_timeout",
    },
    {
        "id": OTHER,
        "parent_message_id": EDIT,
        "role": "assistant",
        "content": "Hello",
        "status": "completed",
        "model": "m",
        "finish_reason": "length",
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "total_tokens": 5,
            "estimated": True,
        },
    },
]
for _number, _message in enumerate(EXPORTED):
    _message |= {"object": "message", "session_id": str(UUID(int=9)), "turn_id": str(UUID(int=8))}
    _message |= {"version": _number + 2, "created_at": THEN}


async def bring(
    session: Service, session_id: str, *messages: Any, key: str | None = None, **body: Any
) -> ApiResponse:
    path = f"/sessions/{session_id}/import"
    return await session.call("POST", path, {"messages": messages, **body}, key=key)


async def shown(session: Service) -> list[dict[str, Any]]:
    response = await session.call("POST", "/switch-assistant", {"assistant_id": "helper"})
    return list(response.body["messages"])


async def test_an_exported_session_is_imported_with_its_branches_and_the_fields_of_its_replies(
    session: Service,
) -> None:
    session_id = (await session.start())["id"]
    exported = {"object": "session_export", "session": {"title": "x"}, "messages": EXPORTED}
    response = await session.call("POST", f"/sessions/{session_id}/import", exported)
    assert (response.status, response.body["imported"], response.body["version"]) == (200, 4, 5)
    for message, given in zip(await shown(session), (EXPORTED[1], EXPORTED[3]), strict=True):
        changed = {"session_id": session_id, "turn_id": None}
        changed |= {} if message["role"] == "assistant" else {"status": "completed"}
        assert message == given | changed


async def test_an_exported_session_is_imported_in_parts_each_of_which_may_be_repeated(
    session: Service,
) -> None:
    session_id = (await session.start())["id"]
    for part in (EXPORTED[:1], EXPORTED[1:3], EXPORTED[1:3], EXPORTED[2:], EXPORTED):
        response = await bring(session, session_id, *part)
        assert response.status == 200
    assert (response.body["imported"], response.body["skipped"]) == (0, 4)
    assert response.body["version"] == 5


async def test_an_empty_reply_that_was_imported_reaches_no_prompt(session: Service) -> None:
    session_id = (await session.start())["id"]
    await bring(session, session_id, *EXPORTED[:3])
    turn = await session.submit(session_id, "And now?")
    context = (await session.claim(turn["id"], str(uuid4())))["run"]["context"]
    assert [message["content"] for message in context["messages"]] == ["One", "And now?"]


async def test_a_message_without_a_parent_follows_the_newest_one(session: Service) -> None:
    session_id = (await session.start())["id"]
    chained = [{"role": "user", "content": text} for text in ("two", "three")]
    await bring(session, session_id, EXPORTED[0], chained[0], EXPORTED[1], chained[1])
    assert [message["content"] for message in await shown(session)] == ["One", "three"]


async def test_equal_messages_below_different_parents_are_both_stored(session: Service) -> None:
    session_id = (await session.start())["id"]
    await bring(session, session_id, *EXPORTED[:2])
    reply = {"role": "assistant", "content": "ok"}
    for parent in (ROOT, EDIT, ROOT):
        response = await bring(session, session_id, reply | {"parent_message_id": parent})
    assert (response.body["skipped"], response.body["version"]) == (1, 5)


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"role": "tool", "content": "x"}, "role", "invalid_request"),
    ({"role": "user", "content": "x" * (256 * 1024 + 1)}, "content", "message_too_large"),
    ({"role": "user", "content": "x", "id": FAILED}, "id", "message_id_conflict"),
    # Its parent is the bad one before it, although the session has a message with that id.
    (
        {"role": "user", "content": "x", "parent_message_id": FAILED},
        "parent_message_id",
        "invalid_request",
    ),
]


async def test_good_messages_are_kept_and_bad_ones_named_if_these_are_to_be_skipped(
    session: Service,
) -> None:
    session_id = (await session.start())["id"]
    await bring(session, session_id, *EXPORTED)
    bad = [record for record, _, _ in BAD]
    good = [{"role": "user", "content": f"good {number}"} for number in range(3)]
    records = [good[0], *bad[:2], good[1], *bad[2:], good[2]]
    response = await bring(session, session_id, *records, on_error="skip")
    assert (response.status, response.body["imported"]) == (200, 3)
    assert (response.body["skipped"], response.body["failed"]) == (0, 4)
    named = [(each["index"], each["param"], each["code"]) for each in response.body["errors"]]
    assert named == [
        (index, f"messages.{index}.{field}", code)
        for index, (_, field, code) in zip((1, 2, 4, 5), BAD, strict=True)
    ]
    assert [message["content"] for message in await shown(session)] == [
        *("One", "Hello"),
        *(message["content"] for message in good),
    ]
    repeated = await bring(session, session_id, *records, on_error="skip")
    assert (repeated.body["imported"], repeated.body["skipped"]) == (0, 3)


async def test_an_import_without_its_malformed_messages_is_a_repeated_one(
    session: Service,
) -> None:
    session_id = (await session.start())["id"]
    good = [{"role": "user", "content": f"good {number}"} for number in range(3)]
    bad = [record for record, _, code in BAD if code != "message_id_conflict"]
    await bring(session, session_id, good[0], *bad[:2], *good[1:], on_error="skip")
    response = await bring(session, session_id, *good)
    assert (response.body["imported"], response.body["skipped"]) == (0, 3)


async def test_a_rejected_import_names_every_bad_message_up_to_100_and_stores_none(
    session: Service,
) -> None:
    session_id = (await session.start())["id"]
    good, bad = {"role": "user", "content": "good"}, {"role": "user", "content": ""}
    response = await bring(session, session_id, good, bad, good, bad, bad)
    assert response.error == (400, "invalid_request", "messages.1.content")
    assert [each["index"] for each in response.body["error"]["records"]] == [1, 3, 4]
    response = await bring(session, session_id, *[bad] * 250)
    assert len(response.body["error"]["records"]) == 100
    skipping = await bring(session, session_id, *[bad] * 250, on_error="skip")
    assert (skipping.body["failed"], len(skipping.body["errors"])) == (250, 100)
    assert skipping.body["version"] == 1


async def test_a_body_that_is_nested_too_deeply_is_rejected(session: Service) -> None:
    path = f"/sessions/{(await session.start())['id']}/import"
    for depth in (900, 9_000):
        body = b'{"messages":[' + b"[" * depth + b"]" * depth + b"]}"
        assert (await session.call("POST", path, body)).error[:2] == (400, "invalid_request")


async def test_the_largest_reply_can_be_imported(session: Service) -> None:
    session_id = (await session.start())["id"]
    reply = {"role": "assistant", "content": "x" * (512 * 1024)}
    assert (await bring(session, session_id, reply)).body["imported"] == 1
    reply["content"] += "x"
    response = await bring(session, session_id, reply)
    assert response.error == (413, "message_too_large", "messages.0.content")


async def test_an_import_without_messages_adds_nothing(session: Service) -> None:
    session_id = (await session.start())["id"]
    response = await bring(session, session_id)
    assert (response.status, response.body["imported"], response.body["version"]) == (200, 0, 1)


async def test_a_repeated_import_with_a_key_returns_the_first_response(session: Service) -> None:
    session_id = (await session.start())["id"]
    good, bad = {"role": "user", "content": "good"}, {"role": "user", "content": ""}
    first = await bring(session, session_id, good, bad, key="k", on_error="skip")
    assert (first.body["imported"], first.body["failed"]) == (1, 1)
    await bring(session, session_id, {"role": "user", "content": "another"})
    await session.submit(session_id, "A turn that is open")
    repeated = await bring(session, session_id, good, bad, key="k", on_error="skip")
    assert (repeated.status, repeated.body) == (200, first.body)
    other = await bring(session, session_id, good, key="k")
    assert other.error == (422, "idempotency_key_reused", None)
    elsewhere = await bring(session, (await session.start())["id"], good, key="k")
    assert elsewhere.body["imported"] == 1


async def test_a_rejected_import_does_not_use_up_its_key(session: Service) -> None:
    session_id = (await session.start())["id"]
    assert (await bring(session, session_id, {"role": "user"}, key="k")).status == 400
    response = await bring(session, session_id, {"role": "user", "content": "x"}, key="k")
    assert response.body["imported"] == 1


async def test_an_import_after_an_accepted_cancel_waits_for_the_end_of_the_turn(
    session: Service,
) -> None:
    turn, runner = await session.open_turn(), str(uuid4())
    await session.claim(turn["id"], runner)
    await session.call("POST", f"/turns/{turn['id']}/cancel", {})
    importing = asyncio.create_task(
        bring(session, turn["session_id"], {"role": "user", "content": "next"})
    )
    ended = await session.fail(turn["id"], runner)
    assert ended.body["status"] == "cancelled"
    assert (await importing).body["imported"] == 1
    contents = [message["parent_message_id"] for message in await shown(session)]
    assert contents[-1] == turn["reply_id"]


async def test_a_fork_keeps_the_fields_of_its_replies(session: Service) -> None:
    session_id = (await session.start())["id"]
    await bring(session, session_id, *EXPORTED)
    await session.call("POST", f"/sessions/{session_id}/fork", {}, who=ADA)
    reply = (await shown(session))[-1]
    fields = ("content", "status", "model", "finish_reason", "usage", "created_at")
    assert {name: reply[name] for name in fields} == {name: EXPORTED[3][name] for name in fields}
