"""The audit trail at the internal API: what is recorded, with what, and that nothing is without."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from session_support.client import ADA, EVE, OTHER_ADA, token
from session_support.components import deletion_on
from session_support.service import Service

from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_events.audit import FIRST_PREVIOUS, AuditRecorded, record_hash
from parley_session.storage.event_rows import record_from_row

AUDITOR = Principal(ADA.tenant, "auditor", frozenset(("audit:read",)))
ADMIN = Principal(ADA.tenant, "grace", frozenset(("admin", "assistants:write")))
GATEWAY = Principal("parley", "gateway")
CLI = Principal("parley", "cli")


async def records(session: Service, query: str = "", who: Principal = AUDITOR) -> Any:
    """Oldest first."""
    answer = await session.call("GET", f"/audit?order=asc&limit=100{query}", who=who)
    assert answer.status == 200, answer.body
    return answer.body["data"]


async def actions(session: Service, query: str = "", who: Principal = AUDITOR) -> list[str]:
    return [each["action"] for each in await records(session, query, who)]


async def done(session: Service, method: str, path: str, body: Any = None, **more: Any) -> Any:
    answer = await session.call(method, path, body, **more)
    assert answer.status < 300, answer.body
    return answer.body


async def chain(pool: Pool) -> Sequence[Any]:
    return await pool.fetch("SELECT *, data::text AS value FROM audit_records ORDER BY sequence")


async def test_each_act_is_recorded_with_its_objects(session: Service) -> None:
    started = await session.start()
    path = f"/sessions/{started['id']}"
    await done(session, "POST", "/switch-assistant", {"assistant_id": "helper"})
    imported = {"messages": [{"role": "user", "content": "secret words"}]}
    await done(session, "POST", f"{path}/import", imported)
    await done(session, "PATCH", path, {"legal_hold": True}, who=ADMIN)
    await done(session, "PATCH", path, {"legal_hold": False}, who=ADMIN)
    await done(session, "DELETE", path)
    key = await done(session, "POST", "/api-keys", {"name": "mine"})
    await done(session, "DELETE", f"/api-keys/{key['id']}")
    revoked = {"kind": "user", "target": "eve"}
    await done(session, "POST", "/token-revocations", revoked, who=ADMIN)
    assistant = {"id": f"a{uuid4().hex[:8]}", "name": "A", "instructions": "secret words"}
    await done(session, "POST", "/assistants", assistant, who=ADMIN)
    changed = {"name": "B"}
    await done(session, "PATCH", f"/assistants/{assistant['id']}", changed, who=ADMIN)
    await done(session, "DELETE", f"/assistants/{assistant['id']}", who=ADMIN)
    read = {"action": "session.exported", "session_id": started["id"]}
    await done(session, "POST", "/audit/reads", read)
    await done(session, "POST", "/audit/reads", {"action": "messages.searched"})
    found = await records(session)
    of_session = [("session", started["id"])]
    switched = [("assistant", "helper"), *of_session]
    of_assistant, of_key = [("assistant", assistant["id"])], [("api_key", key["id"])]
    assert [
        (
            each["action"],
            each["user"],
            each["outcome"],
            [(one["kind"], one["id"]) for one in each["objects"]],
        )
        for each in found
    ] == [
        ("assistant.switched", "ada", "allowed", switched),
        ("history.imported", "ada", "done", of_session),
        ("legal_hold.placed", "grace", "done", of_session),
        ("legal_hold.lifted", "grace", "done", of_session),
        ("session.erased", "ada", "done", of_session),
        ("api_key.created", "ada", "done", of_key),
        ("api_key.revoked", "ada", "done", of_key),
        ("tokens.revoked", "grace", "done", [("user", "eve")]),
        ("assistant.defined", "grace", "done", of_assistant),
        ("assistant.revised", "grace", "done", of_assistant),
        ("assistant.retired", "grace", "done", of_assistant),
        ("session.exported", "ada", "allowed", of_session),
        ("messages.searched", "ada", "allowed", []),
    ]


async def test_records_hold_nothing_that_people_wrote(session: Service, pool: Pool) -> None:
    started = await session.start(title="secret words")
    imported = {"messages": [{"role": "user", "content": "secret words"}]}
    await done(session, "POST", f"/sessions/{started['id']}/import", imported)
    await done(session, "POST", "/api-keys", {"name": "secret words"})
    rows = await chain(pool)
    assert len(rows) == 2
    assert not any("secret" in row["value"] for row in rows)


async def test_an_act_is_recorded_with_where_it_comes_from(session: Service) -> None:
    headers = {
        "authorization": f"Bearer {token(ADA)}",
        "x-request-id": "req-7",
        "x-client-address": "192.0.2.7",
        "x-token-id": "t%0A%C3%A9",
    }
    url = f"{session.url}/switch-assistant"
    body = {"assistant_id": "helper"}
    async with session.http.request("POST", url, json=body, headers=headers) as response:
        switched = await response.json()
    assert switched["created"]
    [record] = await records(session)
    assert record["outcome"] == "done"
    assert record["objects"][1] == {"kind": "session", "id": switched["session"]["id"]}
    origin = ("request_id", "client_address", "token_id", "api_key_id")
    assert [record[name] for name in origin] == ["req-7", "192.0.2.7", "t\né", None]


async def test_the_records_are_a_chain(session: Service, pool: Pool) -> None:
    for _ in range(3):
        await done(session, "POST", "/switch-assistant", {"assistant_id": "helper"})
    rows = await chain(pool)
    assert [row["sequence"] for row in rows] == [1, 2, 3]
    previous = FIRST_PREVIOUS
    for row in rows:
        data = AuditRecorded.model_validate_json(row["value"])
        assert data.previous == previous
        previous = record_hash(record_from_row(row["stream_id"], {**row, "data": row["value"]}))  # type: ignore[arg-type]
        assert row["hash"] == previous
    ids = [row["id"] for row in rows]
    assert ids == sorted(ids)
    assert {(each.version, each.variant) for each in ids} == {(7, "specified in RFC 4122")}
    assert await pool.fetchval("SELECT hash FROM audit_chain") == previous
    assert await pool.fetchval("SELECT count(*) FROM audit_outbox") == 3


async def test_concurrent_acts_are_recorded_one_after_the_other(
    session: Service, pool: Pool
) -> None:
    started = [await session.start() for _ in range(20)]
    erased = (done(session, "DELETE", f"/sessions/{each['id']}") for each in started)
    await asyncio.gather(*erased)
    rows = await chain(pool)
    assert [row["sequence"] for row in rows] == [*range(1, 21)]
    times, ids = [row["time"] for row in rows], [row["id"] for row in rows]
    assert (times, ids) == (sorted(times), sorted(ids))
    previous = [AuditRecorded.model_validate_json(row["value"]).previous for row in rows]
    assert previous == [FIRST_PREVIOUS, *(row["hash"] for row in rows[:-1])]


async def test_an_act_that_is_refused_or_repeated_leaves_no_record(
    session: Service, pool: Pool
) -> None:
    started = await session.start()
    path = f"/sessions/{started['id']}"
    refused = await session.call("DELETE", path, who=EVE)
    assert refused.status == 404
    assert await chain(pool) == []
    await asyncio.gather(*(done(session, "DELETE", path) for _ in range(3)))
    assert await actions(session) == ["session.erased"]


async def test_an_act_whose_record_cannot_be_stored_is_not_done(
    session: Service, pool: Pool
) -> None:
    turn = await session.open_turn()
    started = await session.start()
    async with broken_trail(pool):
        answer = await session.call("DELETE", f"/sessions/{started['id']}")
        assert answer.status >= 500
        for path, body in (
            ("/switch-assistant", {"assistant_id": "helper"}),
            ("/api-keys", {"name": "mine"}),
            ("/audit/reads", {"action": "messages.searched"}),
        ):
            assert (await session.call("POST", path, body)).status >= 500
        keys = {"session_ids": [started["id"]]}
        assert (await session.call("POST", "/keys", keys, who=CLI, issuer="cli")).status >= 500
        await session.submit(started["id"], "turns go on")
    assert await pool.fetchval("SELECT count(*) FROM api_keys") == 0
    assert await pool.fetchval("SELECT wrapped_key FROM sessions WHERE id = $1", started["id"])
    assert (await session.turn(turn["id"]))["status"] == "running"
    assert await chain(pool) == []
    await done(session, "DELETE", f"/sessions/{started['id']}")
    assert await actions(session) == ["session.erased"]


@asynccontextmanager
async def broken_trail(pool: Pool) -> AsyncIterator[None]:
    """Nothing can be recorded within the block."""
    await pool.execute(
        "ALTER TABLE audit_outbox ADD CONSTRAINT nothing CHECK (bytes < 0) NOT VALID"
    )
    try:
        yield
    finally:
        await pool.execute("ALTER TABLE audit_outbox DROP CONSTRAINT nothing")


async def test_an_erasure_by_parley_is_recorded_in_the_tenant_of_the_session(
    session: Service, pool: Pool
) -> None:
    started = await session.start()
    operator = Caller(Principal("parley", "operator"), "erase-user")
    deletion = deletion_on(pool)
    assert await deletion.erase(UUID(started["id"]), "operator", operator, as_system=True)
    [record] = await records(session)
    assert (record["user"], record["system"], record["action"]) == (
        "operator",
        True,
        "session.erased",
    )


async def test_keys_that_an_operator_opens_are_recorded_in_each_tenant(
    session: Service, pool: Pool
) -> None:
    ours, theirs = await session.start(), (await session.call("POST", "/sessions", who=OTHER_ADA))
    ids = [ours["id"], theirs.body["id"]]
    history = Principal("parley", "history")
    await done(session, "POST", "/keys", {"session_ids": ids}, who=history, issuer="history")
    assert await chain(pool) == []
    await done(session, "POST", "/keys", {"session_ids": ids}, who=CLI, issuer="cli")
    other_auditor = Principal(OTHER_ADA.tenant, "auditor", AUDITOR.scopes)
    for who, id in ((AUDITOR, ids[0]), (other_auditor, ids[1])):
        [record] = await records(session, who=who)
        assert (record["action"], record["user"], record["system"]) == ("keys.opened", "cli", True)
        assert record["objects"] == [{"kind": "session", "id": id}]
        assert record["client_address"] == "127.0.0.1"


async def test_refused_access_is_recorded_as_gateways_report_it(session: Service) -> None:
    refused = {
        "code": "missing_scope",
        "tenant": ADA.tenant,
        "user": "eve",
        "route": "GET /v1/audit",
        "request_id": "req-1",
        "client_address": "192.0.2.9",
    }
    left_out = {"tenant": ADA.tenant, "user": "eve", "left_out": 12}
    body = {"refused": [refused, left_out, {"code": "invalid_token"}]}
    await done(session, "POST", "/audit/refusals", body, who=GATEWAY)
    first, second = await records(session, "&user=eve")
    assert (first["action"], first["outcome"], first["code"]) == (
        "access.refused",
        "refused",
        "missing_scope",
    )
    assert first["objects"] == [{"kind": "route", "id": "GET /v1/audit"}]
    assert (second["left_out"], "left_out" in first) == (12, False)


async def test_an_auditor_pages_and_filters_the_records_of_their_tenant(session: Service) -> None:
    for who in (ADA, EVE, ADA, OTHER_ADA, ADA):
        await done(session, "POST", "/audit/reads", {"action": "messages.searched"}, who=who)
    found = await records(session)
    ids = [each["id"] for each in found]
    assert [each["user"] for each in found] == ["ada", "eve", "ada", "ada"]
    page = await done(session, "GET", "/audit?limit=3", who=AUDITOR)
    assert [each["id"] for each in page["data"]] == ids[:0:-1]
    assert (page["has_more"], page["first_id"], page["last_id"]) == (True, ids[3], ids[1])
    page = await done(session, "GET", f"/audit?limit=3&after={page['last_id']}", who=AUDITOR)
    assert ([each["id"] for each in page["data"]], page["has_more"]) == ([ids[0]], False)
    page = await done(session, "GET", f"/audit?limit=2&before={ids[0]}", who=AUDITOR)
    assert [each["id"] for each in page["data"]] == [ids[2], ids[1]]
    assert [each["id"] for each in await records(session, "&user=eve")] == [ids[1]]
    assert await records(session, "&action=session.erased") == []
    moment = found[2]["created_at"]
    for bound in ("since=0001-01-01T00:00:00Z", "until=9999-12-31T00:00:00Z", f"until={moment}"):
        assert ids[0] in [each["id"] for each in await records(session, f"&{bound}")]
    assert [each["id"] for each in await records(session, f"&since={moment}")] == ids[2:]
    assert [each["id"] for each in await records(session, f"&until={moment}")] == ids[:2]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("after=x", "after"),
        ("since=yesterday", "since"),
        ("order=up", "order"),
    ],
)
async def test_a_malformed_query_names_the_parameter(
    session: Service, query: str, param: str
) -> None:
    answer = await session.call("GET", f"/audit?{query}", who=AUDITOR)
    assert answer.error == (400, "invalid_request", param)


async def test_the_trail_requires_its_scope(session: Service) -> None:
    assert (await session.call("GET", "/audit", who=ADMIN)).error == (403, "missing_scope", None)
