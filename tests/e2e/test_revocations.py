"""Revocations of tokens through the public API and the command line, and their events."""

import time
from uuid import uuid4

import pytest
from e2e_support.kafka_records import headers_of, read_records
from e2e_support.stack import Stack

from parley_events.topics import API_KEYS_TOPIC
from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_administrator_revokes_one_token_and_lists_it(stack: Stack) -> None:
    tenant, token_id = f"acme-{uuid4()}", str(uuid4())
    boss = stack.user("boss", tenant=tenant, scope="admin")
    stolen, other = (stack.user("ada", tenant=tenant, jti=each) for each in (token_id, "other"))
    await stolen.get("/models")
    body = {"kind": "token", "target": token_id}
    refused = await other.expect_error("POST", "/admin/revocations", json=body)
    assert (refused[0], refused[1]["code"]) == (403, "missing_scope")
    made = await boss.post("/admin/revocations", body)

    async def is_refused() -> bool:
        return (await stolen.request("GET", "/models")).status_code == 401

    await eventually(is_refused, within=5)
    await other.get("/models")
    assert (await boss.get("/admin/revocations"))["data"] == [made]

    async def is_published() -> bool:
        records = await read_records(stack.kafka, API_KEYS_TOPIC, 1)
        types = [headers_of(each)["ce_type"] for each in records if token_id.encode() in each.value]
        return types == ["parley.api_key.tokens_revoked.v1"]

    await eventually(is_published)


async def test_the_command_line_signs_a_user_out_and_lists_it(stack: Stack) -> None:
    user, tenant = f"ada-{uuid4()}", f"acme-{uuid4()}"
    ada = stack.user(user, tenant=tenant, iat=int(time.time()) - 60)
    await ada.get("/models")
    revoked = await stack.run_command("revoke", "user", user, "--tenant", tenant)
    assert revoked.stdout.startswith(f"Revoked user {user} as of ")
    assert f"`parley api-keys list --user {user} --tenant {tenant}`" in revoked.stderr

    async def is_refused() -> bool:
        return (await ada.request("GET", "/models")).status_code == 401

    await eventually(is_refused, within=5)
    listed = await stack.stdout_of("revoke", "list", "--tenant", tenant)
    assert listed.startswith(f"user {user}  (as of ")
    assert "by operator" in listed
