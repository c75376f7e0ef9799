"""Administrators define assistants; sessions record which version they used."""

from typing import Any
from uuid import uuid4

import pytest
from stack.model_server import ModelServer
from stack.parley import Stack
from stack.person import Person

pytestmark = pytest.mark.asyncio(loop_scope="session")


def a_tenant(stack: Stack) -> tuple[Person, Person]:
    """An administrator and a user of a tenant that no other test knows."""
    tenant = f"tenant-{uuid4().hex}"
    admin = stack.person("admin", tenant=tenant, scope="assistants:write")
    return admin, stack.person("user", tenant=tenant)


def pirate() -> dict[str, Any]:
    return {"id": "pirate", "name": "Pirate", "instructions": "Speak as a pirate."}


async def test_a_defined_assistant_is_listed_used_revised_and_retired(
    stack: Stack, model_server: ModelServer
) -> None:
    admin, user = a_tenant(stack)
    defined = await admin.post("/assistants", pirate())
    assert (defined["id"], defined["version"]) == ("pirate", 1)
    assert defined["instructions"] == "Speak as a pirate."
    listed = {each["id"]: each for each in (await user.get("/assistants"))["data"]}
    assert "instructions" not in listed["pirate"]
    assert "helper" in listed

    session = await user.start_session(assistant_id="pirate")
    await user.ask(session, first := f"First {uuid4()}")
    revised = await admin.patch("/assistants/pirate", {"instructions": "Speak as a captain."})
    assert revised["version"] == 2
    await user.ask(session, second := f"Second {uuid4()}")
    told = [model_server.asked_with(text)[0][0]["content"] for text in (first, second)]
    assert told == ["Speak as a pirate.", "Speak as a captain."]

    retired = await admin.delete("/assistants/pirate")
    assert retired["retired"] is True
    assert (await user.get("/assistants/pirate"))["retired"] is True
    assert "pirate" not in [each["id"] for each in (await user.get("/assistants"))["data"]]
    status, error = await user.refused("POST", "/sessions", json={"assistant_id": "pirate"})
    assert (status, error["code"]) == (409, "assistant_retired")
    assert (await user.ask(session, "Still there?"))["status"] == "completed"


async def test_only_administrators_change_assistants_and_only_those_of_their_tenant(
    ada: Person, stack: Stack
) -> None:
    status, error = await ada.refused("POST", "/assistants", json=pirate())
    assert (status, error["code"]) == (403, "missing_scope")
    admin, _ = a_tenant(stack)
    await admin.post("/assistants", pirate())
    status, error = await admin.refused("PATCH", "/assistants/helper", json={"name": "Mine"})
    assert (status, error["code"]) == (403, "assistant_shared")
    status, error = await admin.refused("POST", "/assistants", json=pirate() | {"id": "helper"})
    assert (status, error["code"]) == (409, "assistant_id_taken")
    other_admin, _ = a_tenant(stack)
    for method, path, body in (
        ("GET", "/assistants/pirate", None),
        ("PATCH", "/assistants/pirate", {"name": "Mine"}),
        ("DELETE", "/assistants/pirate", None),
        ("POST", "/sessions", {"assistant_id": "pirate"}),
    ):
        status, error = await other_admin.refused(method, path, json=body)
        assert (status, error["code"]) == (404, "assistant_not_found"), (method, path)


async def test_a_switch_finds_the_latest_session_with_its_last_messages(ada: Person) -> None:
    tutor = await ada.post("/switch-assistant", {"assistant_id": "tutor"})
    assert tutor["created"] is True
    session = tutor["session"]["id"]
    turn = await ada.ask(session, "Teach me")
    await ada.post("/switch-assistant", {"assistant_id": "helper"})
    back = await ada.post("/switch-assistant", {"assistant_id": "tutor"})
    assert (back["created"], back["session"]["id"]) == (False, session)
    assert back["messages"] == [turn["message"], turn["reply"]]
