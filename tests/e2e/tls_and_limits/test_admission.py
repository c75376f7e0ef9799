"""Admission of turns: room in inference and one person's share, seen through the public API."""

import asyncio
from uuid import uuid4

import httpx2
import pytest
from e2e_support.model_server import ModelServer
from e2e_support.stack import Stack
from e2e_support.user import User

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUESTION = "[gate 1] admission"


def refusal(response: httpx2.Response) -> tuple[int, str]:
    assert int(response.headers["retry-after"]) >= 1
    return response.status_code, response.json()["error"]["code"]


async def in_background(user: User, session_id: str, key: str | None = None) -> httpx2.Response:
    body = {"content": QUESTION, "background": True}
    return await user.request("POST", f"/sessions/{session_id}/messages", json=body, key=key)


async def test_a_turn_is_refused_before_its_commit_or_completes(
    stack: Stack, model_server: ModelServer
) -> None:
    ada, eve, bob = (stack.user(f"{name}-{uuid4()}") for name in ("ada", "eve", "bob"))
    # Their titles are given: a generated one would repeat the question to the model server.
    sessions = {
        user: [await user.start_session(title="Room") for _ in range(4)] for user in (ada, eve)
    }
    responses = await asyncio.gather(*(in_background(ada, each) for each in sessions[ada]))
    accepted = [each.json()["id"] for each in responses if each.status_code == 202]
    refused = [each for each in responses if each.status_code != 202]
    assert len(accepted) == 2
    assert [refusal(each) for each in refused] == 2 * [(429, "too_many_turns")]

    # Her share leaves room for others, until there is none.
    first = await in_background(eve, sessions[eve][0], key="first")
    second = await in_background(eve, sessions[eve][1])
    assert (first.status_code, second.status_code) == (202, 202)
    bobs = await bob.start_session(title="Room")
    assert refusal(await in_background(bob, bobs)) == (503, "inference_busy")
    completion = {
        "model": "scripted",
        "messages": [{"role": "user", "content": QUESTION}],
        "metadata": {"session_id": bobs},
    }
    refused_completion = await bob.request("POST", "/chat/completions", json=completion)
    assert refusal(refused_completion) == (503, "inference_busy")
    assert (await bob.get(f"/sessions/{bobs}"))["version"] == 1
    again = await in_background(eve, sessions[eve][0], key="first")
    assert again.json()["id"] == first.json()["id"]

    model_server.open_gate(QUESTION)
    accepted += [first.json()["id"], second.json()["id"]]
    turns = [*zip((ada, ada, eve, eve), accepted, strict=True)]
    await eventually(lambda: _all_completed(turns))
    assert (await bob.send(bobs, "Is there room now?"))["status"] == "completed"


async def _all_completed(turns: list[tuple[User, str]]) -> bool:
    found = [await user.get(f"/turns/{turn_id}") for user, turn_id in turns]
    return all(turn["status"] == "completed" for turn in found)
