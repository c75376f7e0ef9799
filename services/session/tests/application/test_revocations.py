"""Revocations of tokens at the internal API: made and listed, sent to gateways, and deleted."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from session_support.client import ADA, OTHER_ADA, ApiResponse
from session_support.service import Service

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_session.application import revocations
from parley_session.storage.keys import revocation_store
from parley_testing.eventually import eventually
from parley_testing.recorded_spans import recorded_spans

BOSS = Principal(ADA.tenant, "boss", frozenset(("admin",)))
OTHER_BOSS = Principal(OTHER_ADA.tenant, "boss", frozenset(("admin",)))
GATEWAY = Principal("parley", "gateway")


async def revoke(
    session: Service, kind: str, target: str, who: Principal = BOSS, **more: Any
) -> ApiResponse:
    body = {"kind": kind, "target": target, **more}
    return await session.call("POST", "/token-revocations", body, who=who)


async def made(session: Service, *given: Any, **more: Any) -> Any:
    answer = await revoke(session, *given, **more)
    assert answer.status == 201, answer.body
    return answer.body


async def listed(session: Service, query: str = "", who: Principal = BOSS) -> Any:
    answer = await session.call("GET", f"/token-revocations{query}", who=who)
    assert answer.status == 200, answer.body
    return answer.body


async def recent(session: Service) -> Any:
    return (await session.call("GET", "/revocations", who=GATEWAY)).body


async def all_of_them(session: Service) -> list[tuple[str, str, str]]:
    found: list[Any] = []
    query = ""
    while True:
        page = (await session.call("GET", f"/all-revocations{query}", who=GATEWAY)).body
        found += page["tokens"]
        if page["next"] is None:
            return [(each["tenant"], each["kind"], each["target"]) for each in found]
        query = f"?after={page['next']}"


async def test_a_revocation_is_listed_and_told_to_gateways(session: Service) -> None:
    tenant = BOSS.tenant
    given = [("token", "t1"), ("user", "ada"), ("tenant", tenant)]
    bodies = [await made(session, *each) for each in given]
    for body, (kind, target) in zip(bodies, given, strict=True):
        assert (body["object"], body["revoked_by"]) == ("revocation", "boss")
        assert (body["kind"], body["target"]) == (kind, target)
        lifetime = datetime.fromisoformat(body["expires_at"]) - datetime.fromisoformat(
            body["revoked_at"]
        )
        assert abs(lifetime - timedelta(days=366)) < timedelta(minutes=1)
    assert (await listed(session))["data"] == bodies[::-1]
    expected = [(tenant, *each) for each in given]
    assert await all_of_them(session) == expected
    found = await recent(session)
    assert {(each["tenant"], each["kind"], each["target"]) for each in found["tokens"]} == {
        *expected
    }
    assert found["tokens_complete"]
    assert (await listed(session, who=OTHER_BOSS))["data"] == []


async def test_revoking_again_moves_the_time_and_keeps_one_row(session: Service) -> None:
    first = await made(session, "user", "ada")
    other = await made(session, "user", "eve")
    again = await made(session, "user", "ada")
    assert again["revoked_at"] > first["revoked_at"]
    assert (await listed(session))["data"] == [again, other]
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    token = await made(session, "token", "t1")
    # A shorter expiry does not make a token valid earlier.
    assert (await made(session, "token", "t1", expires_at=soon))["expires_at"] == token[
        "expires_at"
    ]


async def test_a_retry_revokes_no_later_tokens(session: Service) -> None:
    async def with_key(target: str) -> ApiResponse:
        body = {"kind": "user", "target": target}
        return await session.call("POST", "/token-revocations", body, who=BOSS, key="k")

    first = await with_key("ada")
    retried = await with_key("ada")
    assert (first.status, first.body) == (retried.status, retried.body)
    assert (await with_key("eve")).error == (422, "idempotency_key_reused", None)
    later = await made(session, "user", "ada")
    assert (await with_key("ada")).body["id"] == first.body["id"]
    assert (await listed(session))["data"] == [later]


async def test_a_retry_with_another_expiry_is_refused(session: Service) -> None:
    async def with_key(minutes: int | None) -> ApiResponse:
        body = {"kind": "token", "target": "t1"}
        if minutes is not None:
            body["expires_at"] = (now + timedelta(minutes=minutes)).isoformat()
        return await session.call("POST", "/token-revocations", body, who=BOSS, key=key)

    now = datetime.now(UTC)
    for first, other in ((5, 6), (5, None), (None, 5)):
        key = str(uuid4())
        made = await with_key(first)
        repeated = await with_key(first)
        assert (made.status, repeated.body) == (201, made.body)
        assert (await with_key(other)).error == (422, "idempotency_key_reused", None)


async def test_only_administrators_revoke_and_only_in_their_tenant(session: Service) -> None:
    refused = await revoke(session, "user", "ada", ADA)
    assert refused.error == (403, "missing_scope", None)
    refused = await session.call("GET", "/token-revocations", who=ADA)
    assert refused.error == (403, "missing_scope", None)
    refused = await revoke(session, "tenant", OTHER_ADA.tenant)
    assert refused.error == (400, "invalid_request", "target")
    await made(session, "user", "ada", OTHER_BOSS)
    assert await all_of_them(session) == [(OTHER_ADA.tenant, "user", "ada")]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"kind": "person", "target": "a"}, "kind"),
        ({"kind": "user", "target": ""}, "target"),
        ({"kind": "user", "target": "a\x00"}, "target"),
        ({"kind": "user", "target": "a" * 256}, "target"),
        ({"kind": "user", "target": "a", "expires_at": "2999-01-01T00:00:00Z"}, "expires_at"),
        ({"kind": "token", "target": "a", "expires_at": "2999-01-01T00:00:00Z"}, "expires_at"),
        ({"kind": "token", "target": "a", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
    ],
)
async def test_a_malformed_revocation_is_a_400(session: Service, body: Any, param: str) -> None:
    refused = await session.call("POST", "/token-revocations", body, who=BOSS)
    assert refused.error == (400, "invalid_request", param)


async def test_a_tenant_has_a_bounded_number_of_revocations(
    session: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, "MAX_REVOCATIONS_PER_TENANT", 2)
    for target in ("ada", "eve"):
        await made(session, "user", target)
    assert (await revoke(session, "user", "bob")).error == (409, "revocations_full", None)
    await made(session, "user", "ada")
    await made(session, "user", "bob", OTHER_BOSS)
    await made(session, "tenant", BOSS.tenant)


async def test_revocations_are_paged_for_administrators_and_gateways(
    session: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation_store, "MAX_REVOCATIONS", 2)
    names = [f"user {number}" for number in range(5)]
    for name in names:
        await made(session, "user", name)
    first = await listed(session, "?limit=3")
    assert [each["target"] for each in first["data"]] == names[:1:-1]
    assert first["has_more"]
    rest = await listed(session, f"?limit=3&after={first['last_id']}")
    assert [each["target"] for each in rest["data"]] == names[1::-1]
    assert not rest["has_more"]
    assert [target for _, _, target in await all_of_them(session)] == names
    assert not (await recent(session))["tokens_complete"]
    for query in ("?limit=0", "?after=x"):
        refused = await session.call("GET", f"/token-revocations{query}", who=BOSS)
        assert refused.error[:2] == (400, "invalid_request")


async def test_a_revocation_of_the_tenant_refuses_its_older_api_keys(
    session: Service, pool: Pool
) -> None:
    async def create(who: Principal) -> str:
        answer = await session.call("POST", "/api-keys", {"name": "a program"}, who=who)
        return str(answer.body["id"])

    async def valid(*key_ids: str) -> set[str]:
        digests = await pool.fetch(
            "SELECT stream_id, encode(secret_digest, 'base64') AS digest FROM api_keys"
        )
        by_id = {str(row["stream_id"]): row["digest"].strip() for row in digests}
        body = {"keys": [{"id": each, "digest": by_id[each]} for each in key_ids]}
        answer = await session.call("POST", "/api-keys/authenticate", body, who=GATEWAY)
        return {each["id"] for each in answer.body["keys"] if each}

    old, elsewhere = await create(ADA), await create(OTHER_ADA)
    await made(session, "user", ADA.user)
    assert await valid(old, elsewhere) == {old, elsewhere}
    await made(session, "tenant", ADA.tenant)
    new = await create(ADA)
    assert await valid(old, elsewhere, new) == {elsewhere, new}
    # Its owner can still delete it, to make room.
    assert (await session.call("DELETE", f"/api-keys/{old}")).status == 200


async def test_a_revocation_is_an_event_of_its_own(session: Service, pool: Pool) -> None:
    body = await made(session, "user", "ada")
    [event] = await pool.fetch("SELECT * FROM api_key_events WHERE id = $1", UUID(body["id"]))
    assert (event["type"], event["sequence"]) == ("parley.api_key.tokens_revoked.v1", 1)
    data = json.loads(event["data"])
    assert (data["tenant"], data["kind"], data["target"]) == (BOSS.tenant, "user", "ada")
    assert data["actor"] == {"tenant": BOSS.tenant, "user": "boss", "system": False}


async def test_revocations_are_deleted_when_tickets_have_expired_too_but_not_those_of_tenants(
    serve: Callable[..., Awaitable[Service]], pool: Pool
) -> None:
    session = await serve()
    for target in ("t1", "t2"):
        await made(session, "token", target)
    await made(session, "tenant", BOSS.tenant)
    # The ticket of a stream may have been signed at the last moment, for 15 minutes.
    expired = "UPDATE revocations SET expires_at = now() - $2::interval WHERE target = $1"
    await pool.execute(expired, "t1", timedelta(minutes=21))
    await pool.execute(expired, "t2", timedelta(minutes=16))
    await pool.execute(expired, BOSS.tenant, timedelta(days=9))

    async def is_deleted() -> bool:
        return "t1" not in {target for _, _, target in await all_of_them(session)}

    await eventually(is_deleted)
    assert {target for _, _, target in await all_of_them(session)} == {"t2", BOSS.tenant}


async def test_a_restart_forgets_no_revocation(serve: Any) -> None:
    async with serve.stoppable() as first:
        await made(first, "user", "ada")
    assert await all_of_them(await serve()) == [(BOSS.tenant, "user", "ada")]


async def test_the_event_of_a_revocation_carries_the_trace_of_its_request(
    session: Service, pool: Pool
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    body = {"kind": "user", "target": "ada"}
    with recorded_spans():
        answer = await session.call(
            *("POST", "/token-revocations", body),
            who=BOSS,
            traceparent=f"00-{trace}-b7ad6b7169203331-01",
        )
    assert answer.status == 201
    stored = await pool.fetchval("SELECT traceparent FROM api_key_events")
    assert stored.split("-")[1] == trace
