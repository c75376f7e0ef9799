"""Limits of a person, seen through the public API."""

from uuid import uuid4

import pytest
from e2e_support.stack import Stack
from e2e_support.user import User

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUOTA = (429, "quota_exceeded", "tokens_per_day")


async def refusal(user: User, path: str, body: object) -> tuple[int, str, str]:
    status, error = await user.expect_error("POST", path, json=body)
    return status, error["code"], error["param"]


async def test_a_person_beyond_a_quota_is_refused_and_sees_where_they_stand(stack: Stack) -> None:
    ada = stack.user(f"ada-{uuid4()}", scope="limited")
    session = await ada.start_session(title="Quota")
    turn = await ada.send(session, "Hello?", key="first")
    assert turn["status"] == "completed"
    used = turn["reply"]["usage"]["total_tokens"]

    assert await refusal(ada, f"/sessions/{session}/messages", {"content": "Again?"}) == QUOTA
    completion = {"model": "scripted", "messages": [{"role": "user", "content": "Again?"}]}
    assert await refusal(ada, "/chat/completions", completion) == QUOTA
    # What was accepted can be repeated.
    again = await ada.submit(session, "Hello?", key="first")
    assert (again.status_code, again.json()["id"]) == (200, turn["id"])
    assert again.headers["x-ratelimit-limit-requests"] == "10000"

    standing = {each["name"]: each for each in (await ada.get("/limits"))["data"]}
    assert standing["tokens_per_day"]["used"] == used
    assert standing["tokens_per_day"]["remaining"] == 0
    assert standing["requests_per_minute"]["limit"] == 10000
    eve = stack.user(f"eve-{uuid4()}")
    assert (await eve.get("/limits"))["data"] == []


async def test_a_budget_admits_what_fits_and_counts_what_it_cost(stack: Stack) -> None:
    ada = stack.user(f"ada-{uuid4()}", scope="budgeted")
    session = await ada.start_session(title="Budget")
    message = {"content": "Hello?"}
    refused = (429, "quota_exceeded", "cost_per_day")
    assert await refusal(ada, f"/sessions/{session}/messages", message) == refused

    body = {"model": "scripted", "messages": [{"role": "user", "content": "Hello?"}]}
    assert await refusal(ada, "/chat/completions", body) == refused
    usage = (await ada.post("/chat/completions", body | {"max_tokens": 20}))["usage"]

    async def is_settled() -> bool:
        [budget] = (await ada.get("/limits"))["data"]
        cost = usage["prompt_tokens"] + 10 * usage["completion_tokens"]
        return (budget["used"], budget["reserved"], budget["currency"]) == (cost, 0, "USD")

    await eventually(is_settled, within=30)
