"""What a person erases is gone: from every answer at once, and for ever from the log."""

import asyncio
from uuid import uuid4

import pytest
from stack.model_server import ModelServer
from stack.parley import Stack
from stack.person import Person
from stack.topic import last_sequences, records_in_topic

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

GONE = (404, "session_not_found")


async def is_gone(person: Person, session: str) -> bool:
    """Whether every way to read it says that there is no such session."""
    paths = (f"/sessions/{session}", f"/history/{session}", f"/sessions/{session}/export")
    answers = [await person.refused("GET", path) for path in paths]
    return {(status, error["code"]) for status, error in answers} == {GONE}


async def found(person: Person, word: str) -> list[str]:
    results = await person.post("/search", {"query": word})
    return [result["message"]["content"] for result in results["data"]]


async def test_an_erased_session_is_gone_from_every_answer_once_it_is_confirmed(
    ada: Person,
) -> None:
    session, word = await ada.start_session(title="Secret"), f"word{uuid4().hex}"
    turn = await ada.ask(session, f"The {word}")
    await ada.history(session)
    await eventually(lambda: found(ada, word), within=10)

    erased = await ada.delete(f"/sessions/{session}")
    assert (erased["id"], erased["erased"]) == (session, True)

    assert await is_gone(ada, session)
    assert await found(ada, word) == []
    assert (await ada.get("/sessions", archived="all"))["data"] == []
    for method, path, body in (
        ("GET", f"/turns/{turn['id']}", None),
        ("GET", f"/turns/{turn['id']}/stream", None),
        ("POST", f"/turns/{turn['id']}/cancel", {}),
    ):
        assert (await ada.refused(method, path, json=body))[0] == 404, path
    for path, body in (
        (f"/sessions/{session}/messages", {"content": "Anybody?"}),
        (f"/sessions/{session}/fork", {}),
        (f"/sessions/{session}/restore", {}),
        (f"/history/{session}", {"messages": [{"role": "user", "content": "x"}]}),
    ):
        status, error = await ada.refused("POST", path, json=body)
        assert (status, error["code"]) == GONE, path
    status, error = await ada.refused("POST", "/sessions", json={"id": session})
    assert (status, error["code"]) == (409, "session_id_unavailable")
    assert (await ada.delete(f"/sessions/{session}"))["erased"] is True


async def test_the_log_of_an_erased_session_still_replays(ada: Person, stack: Stack) -> None:
    session = await ada.start_session()
    await ada.ask(session, "Soon gone")
    erased = await ada.delete(f"/sessions/{session}")

    async def arrived() -> bool:
        reached = last_sequences(await records_in_topic(stack.address("kafka")))
        return reached.get(session) == erased["version"]

    await eventually(arrived, within=10)
    assert "session_erased" in await stack.output_of("log", "tail", "--session", session)


async def test_erasing_a_session_ends_the_reply_that_is_being_made(
    ada: Person, model_server: ModelServer
) -> None:
    session, text = await ada.start_session(), f"[gate 3] {uuid4()}"
    async with ada.stream(session, text) as turn:
        events = turn.__aiter__()
        assert (await anext(events))["type"] == "turn.started"
        await eventually(lambda: model_server.asked_with(text), within=10)
        assert (await ada.delete(f"/sessions/{session}"))["erased"] is True
        async with asyncio.timeout(5):
            last = [event["type"] async for event in events][-1:]
    assert "reply.completed" not in last
    assert await is_gone(ada, session)


async def test_all_of_a_persons_sessions_are_erased_at_once(ada: Person, stack: Stack) -> None:
    sessions = [await ada.start_session() for _ in range(3)]
    await ada.ask(sessions[0], "Mine")
    other = stack.person(f"other-{uuid4()}")
    theirs = await other.start_session()
    answer = await ada.delete("/sessions")
    assert (answer["erased"], answer["has_more"]) == (3, False)
    assert all([await is_gone(ada, session) for session in sessions])
    assert (await ada.get("/sessions", archived="all"))["data"] == []
    assert (await other.get(f"/sessions/{theirs}"))["id"] == theirs


async def test_where_a_window_is_the_policy_what_was_deleted_can_be_restored(
    stack: Stack,
) -> None:
    person = stack.person(f"person-{uuid4()}", tenant="forgiving")
    session = await person.start_session(title="Back soon")
    turn = await person.ask(session, "Still here?")
    deleted = await person.delete(f"/sessions/{session}")
    assert deleted["erased"] is False
    assert deleted["erase_at"]
    assert await is_gone(person, session)
    assert (await person.get("/sessions"))["data"] == []

    restored = await person.post(f"/sessions/{session}/restore", {})
    assert restored["title"] == "Back soon"
    page = await person.history(session)
    assert [message["id"] for message in page["data"]] == [
        turn["reply"]["id"],
        turn["message"]["id"],
    ]
    assert [each["id"] for each in (await person.get("/sessions"))["data"]] == [session]
    status, error = await person.refused("POST", f"/sessions/{session}/restore", json={})
    assert (status, error["code"]) == (409, "not_deleted")


async def test_after_the_window_it_is_erased(stack: Stack) -> None:
    person = stack.person(f"person-{uuid4()}", tenant="hasty")
    session = await person.start_session()
    await person.delete(f"/sessions/{session}")

    async def erased() -> bool:
        return bool((await person.delete(f"/sessions/{session}"))["erased"])

    await eventually(erased, within=20)
    status, error = await person.refused("POST", f"/sessions/{session}/restore", json={})
    assert (status, error["code"]) == GONE


async def test_idle_sessions_are_erased_by_policy_but_not_under_a_legal_hold(
    stack: Stack,
) -> None:
    person = stack.person(f"person-{uuid4()}", tenant="brief")
    admin = stack.person("root", tenant="brief", scope="admin")
    idle, held = await person.start_session(), await person.start_session()
    assert (await admin.patch(f"/sessions/{held}", {"legal_hold": True}))["legal_hold"] is True

    async def gone(session: str) -> bool:
        return (await person.call("GET", f"/sessions/{session}")).status_code == 404

    await eventually(lambda: gone(idle), within=20)
    assert (await person.get(f"/sessions/{held}"))["legal_hold"] is True
    status, error = await person.refused("DELETE", f"/sessions/{held}")
    assert (status, error["code"]) == (409, "legal_hold")
    status, error = await person.refused("PATCH", f"/sessions/{held}", json={"legal_hold": False})
    assert status == 403
    await admin.patch(f"/sessions/{held}", {"legal_hold": False})
    await eventually(lambda: gone(held), within=20)


async def test_erase_user_leaves_nothing_of_one_person_and_all_of_the_others(
    ada: Person, stack: Stack
) -> None:
    user = f"leaving-{uuid4()}"
    leaving = stack.person(user)
    sessions = [await leaving.start_session(title="Mine") for _ in range(3)]
    await leaving.ask(sessions[0], "Forget me")
    kept = await ada.start_session()
    said = await stack.output_of("erase-user", "--user", user, "--yes")
    assert "3" in said
    for session in sessions:
        await eventually(lambda session=session: is_gone(leaving, session), within=10)
    assert (await ada.get(f"/sessions/{kept}"))["id"] == kept
