"""Token usage and cost by day, session, assistant, model and user."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from e2e_support.model_server import COMPLETION_PRICE, MODEL, PROMPT_PRICE, TOKEN, ModelServer
from e2e_support.stack import Stack
from e2e_support.user import User

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


def micros(usages: list[dict[str, Any]]) -> int:
    prompt, completion = (
        sum(usage[name] for usage in usages) for name in ("prompt_tokens", "completion_tokens")
    )
    # Rounded half up, once, as the service does.
    return int(prompt * PROMPT_PRICE + completion * COMPLETION_PRICE + 500_000) // 1_000_000


async def test_usage_is_the_sum_over_replies(ada: User) -> None:
    sessions = [await ada.start_session(), await ada.start_session(assistant_id="tutor")]
    used: dict[str, list[dict[str, Any]]] = {session: [] for session in sessions}
    for session in (*sessions, sessions[0]):
        turn = await ada.send(session, "Hello")
        used[session].append(turn["reply"]["usage"])
        await ada.messages(session, turn["version"])
    every = used[sessions[0]] + used[sessions[1]]

    total = (await ada.get("/usage"))["total"]
    assert total["replies"] == 3
    assert total["total_tokens"] == sum(usage["total_tokens"] for usage in every)
    assert total["estimated_tokens"] == 0
    assert total["cost"] == [{"currency": "USD", "micros": micros(every)}]

    async def groups(by: str, field: str) -> dict[str, int]:
        usage = await ada.get("/usage", group_by=by)
        assert usage["total"] == total
        return {group[field]: group["replies"] for group in usage["data"]}

    assert await groups("session", "session_id") == {sessions[0]: 2, sessions[1]: 1}
    assert await groups("assistant", "assistant_id") == {"helper": 2, "tutor": 1}
    assert await groups("model", "model") == {MODEL: 3}
    assert await groups("day", "day") == {datetime.now(UTC).date().isoformat(): 3}


async def test_a_cancelled_reply_is_counted_with_estimated_tokens(
    ada: User, model_server: ModelServer
) -> None:
    session = await ada.start_session()
    async with ada.stream(session, f"[gate 3] {uuid4()}") as turn:
        started = await turn.started()
        await turn.until_text(3 * len(TOKEN))
        await ada.post(f"/turns/{started['turn_id']}/cancel", {})
        *_, end = await turn.events()
    await ada.messages(session, end["version"])
    total = (await ada.get("/usage"))["total"]
    assert end["usage"]["estimated"]
    assert total["estimated_tokens"] == total["total_tokens"] == end["usage"]["total_tokens"]
    assert total["replies"] == 1


async def test_usage_of_an_erased_session_stays_counted(ada: User) -> None:
    session = await ada.start_session()
    turn = await ada.send(session, "Hello")
    await ada.messages(session, turn["version"])
    before = await ada.get("/usage")
    await ada.delete(f"/sessions/{session}")
    assert await ada.get("/usage") == before
    assert before["total"]["total_tokens"]


async def test_a_stateless_completion_is_counted_once(ada: User) -> None:
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
    answered = await ada.post("/chat/completions", asked)

    async def counted() -> bool:
        return bool((await ada.get("/usage"))["total"]["replies"])

    await eventually(counted)
    usage = await ada.get("/usage", group_by="session")
    assert usage["total"]["replies"] == 1
    assert usage["total"]["total_tokens"] == answered["usage"]["total_tokens"]
    assert usage["total"]["cost"] == [{"currency": "USD", "micros": micros([answered["usage"]])}]
    assert [group["session_id"] for group in usage["data"]] == [None]


async def test_only_administrators_see_the_usage_of_others(stack: Stack) -> None:
    tenant = f"tenant-{uuid4().hex}"
    user = stack.user("user", tenant=tenant)
    admin = stack.user("admin", tenant=tenant, scope="admin")
    session = await user.start_session()
    turn = await user.send(session, "Hello")
    await user.messages(session, turn["version"])

    status, error = await user.expect_error("GET", "/usage", params={"group_by": "user"})
    assert (status, error["code"]) == (403, "forbidden")
    [group] = (await admin.get("/usage", group_by="user"))["data"]
    assert (group["user"], group["replies"]) == ("user", 1)
    assert (await admin.get("/usage", user="user"))["total"]["replies"] == 1
    assert (await admin.get("/usage"))["total"]["replies"] == 0
