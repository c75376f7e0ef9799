"""Administrators define assistants of their tenant; users chat with them."""

from typing import Any
from uuid import uuid4

import pytest
from e2e_support.model_server import ModelServer
from e2e_support.stack import Stack
from e2e_support.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")


def new_tenant(stack: Stack) -> tuple[User, User]:
    """An administrator and a user of a new tenant."""
    tenant = f"tenant-{uuid4().hex}"
    admin = stack.user("admin", tenant=tenant, scope="assistants:write")
    return admin, stack.user("user", tenant=tenant)


def pirate() -> dict[str, Any]:
    return {"id": "pirate", "name": "Pirate", "instructions": "Speak as a pirate."}


async def test_an_assistant_is_defined_used_revised_and_retired(
    stack: Stack, model_server: ModelServer
) -> None:
    admin, user = new_tenant(stack)
    defined = await admin.post("/assistants", pirate())
    assert (defined["id"], defined["version"]) == ("pirate", 1)
    assert defined["instructions"] == "Speak as a pirate."
    listed = {each["id"]: each for each in (await user.get("/assistants"))["data"]}
    assert "instructions" not in listed["pirate"]
    assert "helper" in listed

    session = await user.start_session(assistant_id="pirate")
    await user.send(session, first := f"First {uuid4()}")
    revised = await admin.patch("/assistants/pirate", {"instructions": "Speak as a captain."})
    assert revised["version"] == 2
    await user.send(session, second := f"Second {uuid4()}")
    told = [model_server.prompts_with(text)[0][0]["content"] for text in (first, second)]
    assert told == ["Speak as a pirate.", "Speak as a captain."]

    retired = await admin.delete("/assistants/pirate")
    assert retired["retired"] is True
    assert (await user.get("/assistants/pirate"))["retired"] is True
    assert "pirate" not in [each["id"] for each in (await user.get("/assistants"))["data"]]
    status, error = await user.expect_error("POST", "/sessions", json={"assistant_id": "pirate"})
    assert (status, error["code"]) == (409, "assistant_retired")
    assert (await user.send(session, "Still there?"))["status"] == "completed"


async def test_only_administrators_change_assistants_of_their_own_tenant(
    ada: User, stack: Stack
) -> None:
    status, error = await ada.expect_error("POST", "/assistants", json=pirate())
    assert (status, error["code"]) == (403, "missing_scope")
    admin, _ = new_tenant(stack)
    await admin.post("/assistants", pirate())
    status, error = await admin.expect_error("PATCH", "/assistants/helper", json={"name": "Mine"})
    assert (status, error["code"]) == (403, "assistant_shared")
    status, error = await admin.expect_error(
        "POST", "/assistants", json=pirate() | {"id": "helper"}
    )
    assert (status, error["code"]) == (409, "assistant_id_taken")
    other_admin, _ = new_tenant(stack)
    for method, path, body in (
        ("GET", "/assistants/pirate", None),
        ("PATCH", "/assistants/pirate", {"name": "Mine"}),
        ("DELETE", "/assistants/pirate", None),
        ("POST", "/sessions", {"assistant_id": "pirate"}),
    ):
        status, error = await other_admin.expect_error(method, path, json=body)
        assert (status, error["code"]) == (404, "assistant_not_found"), (method, path)


async def test_switching_back_returns_the_latest_session_with_its_messages(ada: User) -> None:
    tutor = await ada.post("/switch-assistant", {"assistant_id": "tutor"})
    assert tutor["created"] is True
    session = tutor["session"]["id"]
    turn = await ada.send(session, "Teach me")
    await ada.post("/switch-assistant", {"assistant_id": "helper"})
    back = await ada.post("/switch-assistant", {"assistant_id": "tutor"})
    assert (back["created"], back["session"]["id"]) == (False, session)
    assert back["messages"] == [turn["message"], turn["reply"]]
