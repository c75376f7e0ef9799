"""Erasure: erased sessions disappear from every response, and their log stays replayable."""

import asyncio
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from e2e_support.kafka_records import last_sequences, read_records
from e2e_support.model_server import ModelServer
from e2e_support.stack import Stack
from e2e_support.user import User

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

GONE = (404, "session_not_found")


async def is_gone(user: User, session: str) -> bool:
    """Whether every read of the session answers 404 `session_not_found`."""
    paths = (f"/sessions/{session}", f"/history/{session}", f"/sessions/{session}/export")
    answers = [await user.expect_error("GET", path) for path in paths]
    return {(status, error["code"]) for status, error in answers} == {GONE}


async def found(user: User, word: str) -> list[str]:
    results = await user.post("/search", {"query": word})
    return [result["message"]["content"] for result in results["data"]]


async def test_a_confirmed_erasure_removes_the_session_from_every_response(
    ada: User,
) -> None:
    session, word = await ada.start_session(title="Secret"), f"word{uuid4().hex}"
    turn = await ada.send(session, f"The {word}")
    await ada.history(session)
    await eventually(lambda: found(ada, word))

    erased = await ada.delete(f"/sessions/{session}")
    assert (erased["id"], erased["erased"]) == (session, True)

    assert await is_gone(ada, session)
    assert await found(ada, word) == []
    assert (await ada.get("/sessions", archived="all"))["data"] == []
    for method, path in (
        ("GET", f"/turns/{turn['id']}"),
        ("GET", f"/turns/{turn['id']}/stream"),
        ("POST", f"/turns/{turn['id']}/cancel"),
    ):
        body: dict[str, Any] | None = {} if method == "POST" else None
        assert (await ada.expect_error(method, path, json=body))[0] == 404, path
    writes: dict[str, dict[str, Any]] = {
        f"/sessions/{session}/messages": {"content": "Hello?"},
        f"/sessions/{session}/fork": {},
        f"/sessions/{session}/restore": {},
        f"/history/{session}": {"messages": [{"role": "user", "content": "x"}]},
    }
    for path, write in writes.items():
        status, error = await ada.expect_error("POST", path, json=write)
        assert (status, error["code"]) == GONE, path
    status, error = await ada.expect_error("POST", "/sessions", json={"id": session})
    assert (status, error["code"]) == (409, "session_id_unavailable")
    assert (await ada.delete(f"/sessions/{session}"))["erased"] is True


async def test_the_log_of_an_erased_session_can_still_be_replayed(ada: User, stack: Stack) -> None:
    session = await ada.start_session()
    await ada.send(session, "Soon gone")
    erased = await ada.delete(f"/sessions/{session}")

    async def is_published() -> bool:
        reached = last_sequences(await read_records(stack.kafka))
        return reached.get(session) == int(erased["version"])

    await eventually(is_published)
    assert "session_erased" in await stack.stdout_of("log", "tail", "--session", session)


async def test_erasing_a_session_ends_its_running_reply(
    ada: User, model_server: ModelServer
) -> None:
    session, text = await ada.start_session(), f"[gate 3] {uuid4()}"
    async with ada.stream(session, text) as turn:
        events = turn.__aiter__()
        assert (await anext(events))["type"] == "turn.started"
        await eventually(lambda: model_server.prompts_with(text))
        assert (await ada.delete(f"/sessions/{session}"))["erased"] is True
        async with asyncio.timeout(15):
            last = [event async for event in events][-1]
    assert (last["type"], last["sequence_number"]) == ("reply.cancelled", 0)
    assert (last["message"]["content"], last["error"]["code"]) == ("", "session_erased")
    assert await is_gone(ada, session)


async def test_all_sessions_of_a_user_are_erased_in_one_request(ada: User, stack: Stack) -> None:
    sessions = [await ada.start_session() for _ in range(3)]
    await ada.send(sessions[0], "Mine")
    other = stack.user(f"other-{uuid4()}")
    theirs = await other.start_session()
    answer = await ada.delete("/sessions")
    assert (answer["erased"], answer["has_more"]) == (3, False)
    assert all([await is_gone(ada, session) for session in sessions])
    assert (await ada.get("/sessions", archived="all"))["data"] == []
    assert (await other.get(f"/sessions/{theirs}"))["id"] == theirs


async def test_a_deleted_session_can_be_restored_within_the_undelete_window(
    stack: Stack,
) -> None:
    user = stack.user(f"user-{uuid4()}", tenant="forgiving")
    session = await user.start_session(title="Back soon")
    turn = await user.send(session, "Still here?")
    deleted = await user.delete(f"/sessions/{session}")
    assert deleted["erased"] is False
    assert deleted["erase_at"]
    assert await is_gone(user, session)
    assert (await user.get("/sessions"))["data"] == []

    restored = await user.post(f"/sessions/{session}/restore", {})
    assert restored["title"] == "Back soon"
    page = await user.history(session)
    assert [message["id"] for message in page["data"]] == [
        turn["reply"]["id"],
        turn["message"]["id"],
    ]
    assert [each["id"] for each in (await user.get("/sessions"))["data"]] == [session]
    status, error = await user.expect_error("POST", f"/sessions/{session}/restore", json={})
    assert (status, error["code"]) == (409, "not_deleted")


async def test_a_deleted_session_is_erased_after_the_undelete_window(stack: Stack) -> None:
    user = stack.user(f"user-{uuid4()}", tenant="hasty")
    session = await user.start_session()
    await user.delete(f"/sessions/{session}")

    async def erased() -> bool:
        return bool((await user.delete(f"/sessions/{session}"))["erased"])

    await eventually(erased)
    status, error = await user.expect_error("POST", f"/sessions/{session}/restore", json={})
    assert (status, error["code"]) == GONE


async def test_idle_sessions_are_erased_by_policy_unless_under_a_legal_hold(
    stack: Stack,
) -> None:
    user = stack.user(f"user-{uuid4()}", tenant="brief")
    admin = stack.user("root", tenant="brief", scope="admin")
    idle, held = await user.start_session(), await user.start_session()
    assert (await admin.patch(f"/sessions/{held}", {"legal_hold": True}))["legal_hold"] is True

    async def gone(session: str) -> bool:
        return (await user.request("GET", f"/sessions/{session}")).status_code == 404

    await eventually(lambda: gone(idle))
    assert (await user.get(f"/sessions/{held}"))["legal_hold"] is True
    status, error = await user.expect_error("DELETE", f"/sessions/{held}")
    assert (status, error["code"]) == (409, "legal_hold")
    status, error = await user.expect_error(
        "PATCH", f"/sessions/{held}", json={"legal_hold": False}
    )
    assert status == 403
    await admin.patch(f"/sessions/{held}", {"legal_hold": False})
    await eventually(lambda: gone(held))


async def test_erase_user_erases_one_users_sessions_and_no_others(ada: User, stack: Stack) -> None:
    name = f"leaving-{uuid4()}"
    leaving = stack.user(name)
    sessions = [await leaving.start_session(title="Mine") for _ in range(3)]
    await leaving.send(sessions[0], "Forget me")
    kept = await ada.start_session()
    assert len((await leaving.history(sessions[0]))["data"]) == 2
    printed = await stack.stdout_of("erase-user", "--user", name, "--yes")
    assert "3" in printed
    # Also the page that the gateway has cached.
    status, _ = await leaving.expect_error("GET", f"/history/{sessions[0]}")
    assert status == 404
    for session in sessions:
        await eventually(partial(is_gone, leaving, session))
    assert (await ada.get(f"/sessions/{kept}"))["id"] == kept
