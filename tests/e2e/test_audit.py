"""The audit trail through the public API, in the log, and with the command line."""

import json
from typing import Any
from uuid import uuid4

import pytest
from e2e_support.kafka_records import headers_of, read_records
from e2e_support.stack import Stack

from parley_events.audit import AuditRecorded
from parley_events.topics import AUDIT_TOPIC
from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_acts_of_a_tenant_are_listed_to_its_auditor(stack: Stack) -> None:
    tenant, jti = f"acme-{uuid4()}", str(uuid4())
    ada = stack.user("ada", tenant=tenant, jti=jti)
    auditor = stack.user("auditor", tenant=tenant, scope="audit:read")
    session = await ada.post("/sessions", {"title": "secret words"})
    await ada.post("/search", {"query": "secret"})
    await ada.get(f"/sessions/{session['id']}/export")
    assert (await ada.delete(f"/sessions/{session['id']}"))["erased"]
    refused = await ada.expect_error("GET", "/audit")
    assert (refused[0], refused[1]["code"]) == (403, "missing_scope")

    async def records() -> list[Any]:
        listed = (await auditor.get("/audit", order="asc"))["data"]
        # A gateway repeats its report of refused access if the answer is late.
        return [*{each["request_id"]: each for each in listed}.values()]

    async def are_listed() -> bool:
        return len(await records()) == 4

    await eventually(are_listed, within=30)
    found = await records()
    of_session = [{"kind": "session", "id": session["id"]}]
    assert [(each["action"], each["outcome"], each["objects"]) for each in found] == [
        ("messages.searched", "allowed", []),
        ("session.exported", "allowed", of_session),
        ("session.erased", "done", of_session),
        ("access.refused", "refused", [{"kind": "route", "id": "GET /v1/audit"}]),
    ]
    for each in found:
        assert (each["user"], each["token_id"]) == ("ada", jti)
        assert each["client_address"] in ("127.0.0.1", "::1")
    assert "secret" not in json.dumps(found)
    only = (await auditor.get("/audit", action="session.erased", user="ada"))["data"]
    assert only == [found[2]]

    async def are_published() -> bool:
        published = await read_records(stack.kafka, AUDIT_TOPIC, 1)
        ids = {headers_of(each)["ce_id"] for each in published}
        types = {headers_of(each)["ce_type"] for each in published}
        return {each["id"] for each in found} <= ids and types == {AuditRecorded.TYPE}

    await eventually(are_published, within=30)


async def test_the_command_line_prints_the_trail_and_verifies_it(stack: Stack) -> None:
    tenant = f"acme-{uuid4()}"
    ada = stack.user("ada", tenant=tenant)
    session = await ada.post("/sessions", {})
    assert (await ada.delete(f"/sessions/{session['id']}"))["erased"]

    async def is_printed() -> bool:
        said = await stack.stdout_of("audit", "tail", "-n", "1000")
        return f"session {session['id']}" in said

    await eventually(is_printed, within=30)
    assert "complete and unchanged" in await stack.stdout_of("audit", "verify")
