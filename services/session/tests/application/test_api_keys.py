"""API keys at the internal API: creation, authentication, revocation, and their events."""

import base64
import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from session_support.client import ADA, EVE, OTHER_ADA
from session_support.service import Service

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_testing.recorded_spans import recorded_spans

ADMIN = Principal(ADA.tenant, ADA.user, frozenset(("admin", "assistants:write")))
GATEWAY = Principal("parley", "gateway")


async def create(session: Service, who: Principal = ADA, **body: Any) -> Any:
    answer = await session.call("POST", "/api-keys", {"name": "a program", **body}, who=who)
    assert answer.status == 201, answer.body
    return answer.body


def presented(key: str) -> dict[str, str]:
    _, key_id, secret = key.split("_", 2)
    digest = hashlib.sha256(base64.urlsafe_b64decode(secret + "=")).digest()
    return {"id": str(UUID(key_id)), "digest": base64.b64encode(digest).decode()}


async def authenticate(session: Service, *keys: str) -> list[Any]:
    body = {"keys": [presented(key) for key in keys]}
    answer = await session.call("POST", "/api-keys/authenticate", body, who=GATEWAY)
    assert answer.status == 200, answer.body
    found: list[Any] = answer.body["keys"]
    return found


async def listed(session: Service, who: Principal = ADA) -> list[Any]:
    answer = await session.call("GET", "/api-keys", who=who)
    data: list[Any] = answer.body["data"]
    return data


async def test_a_key_is_shown_once_and_authenticates_its_owner(session: Service) -> None:
    expires_at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    created = await create(
        session, ADMIN, scopes=["admin", "admin"], models=["demo"], expires_at=expires_at
    )
    key = created.pop("key")
    assert key.startswith(f"pk_{UUID(created['id']).hex}_")
    [shown] = await listed(session)
    assert shown == created
    assert shown["last_used_on"] is None
    [found] = await authenticate(session, key)
    assert (found["tenant"], found["user"]) == (ADA.tenant, ADA.user)
    assert (found["scopes"], found["models"]) == (["admin"], ["demo"])
    [shown] = await listed(session)
    assert shown["last_used_on"] == datetime.now(UTC).date().isoformat()


async def test_wrong_unknown_expired_and_revoked_keys_are_not_authenticated(
    session: Service, pool: Pool
) -> None:
    keys = [(await create(session))["key"] for _ in range(4)]
    valid, wrong, expired, revoked = keys
    wrong = wrong[:-2] + ("AA" if wrong[-2:] != "AA" else "BA")
    await pool.execute(
        "UPDATE api_keys SET expires_at = now() WHERE stream_id = $1",
        UUID(presented(expired)["id"]),
    )
    path = f"/api-keys/{presented(revoked)['id']}"
    answer = await session.call("DELETE", path)
    assert answer.body == {
        "object": "api_key.deleted",
        "id": presented(revoked)["id"],
        "deleted": True,
    }
    unknown = f"pk_{uuid4().hex}_{'A' * 43}"
    found = await authenticate(session, wrong, valid, expired, unknown, revoked)
    assert [each and each["id"] for each in found] == [
        None,
        presented(valid)["id"],
        None,
        None,
        None,
    ]
    answer = await session.call("GET", "/revocations", who=GATEWAY)
    assert answer.body["api_keys"] == [presented(revoked)["id"]]
    assert answer.body["complete"]
    assert presented(revoked)["id"] not in [each["id"] for each in await listed(session)]


async def test_a_key_has_no_scope_that_its_owner_lacks(session: Service) -> None:
    body = {"name": "a", "scopes": ["admin"]}
    refused = await session.call("POST", "/api-keys", body)
    assert refused.error == (403, "missing_scope", "scopes")


async def test_a_key_of_another_person_cannot_be_seen_or_revoked(session: Service) -> None:
    key = await create(session)
    for stranger in (EVE, OTHER_ADA):
        assert await listed(session, stranger) == []
        refused = await session.call("DELETE", f"/api-keys/{key['id']}", who=stranger)
        assert refused.error == (404, "api_key_not_found", "key_id")
    assert (await session.call("DELETE", f"/api-keys/{key['id']}")).status == 200
    again = await session.call("DELETE", f"/api-keys/{key['id']}")
    assert again.error == (404, "api_key_not_found", "key_id")


async def test_an_api_key_manages_no_keys(session: Service) -> None:
    program = Principal(ADA.tenant, ADA.user, api_key=str(uuid4()))
    for method, path, body in (
        ("GET", "/api-keys", None),
        ("POST", "/api-keys", {"name": "a"}),
        ("DELETE", f"/api-keys/{uuid4()}", None),
    ):
        refused = await session.call(method, path, body, who=program)
        assert refused.error == (403, "api_key_not_allowed", None)


async def test_a_retry_gets_the_same_key_again(session: Service, pool: Pool) -> None:
    body, key = {"name": "a program"}, str(uuid4())
    first = await session.call("POST", "/api-keys", body, key=key)
    again = await session.call("POST", "/api-keys", body, key=key)
    assert (first.status, again.status) == (201, 200)
    assert first.body == again.body
    other = await session.call("POST", "/api-keys", {"name": "another"}, key=key)
    assert other.error[:2] == (422, "idempotency_key_reused")
    assert await pool.fetchval("SELECT count(*) FROM api_keys") == 1
    assert (await authenticate(session, first.body["key"]))[0] is not None


async def test_a_retry_never_gets_a_revoked_key(session: Service) -> None:
    body, key = {"name": "a program"}, str(uuid4())
    created = await session.call("POST", "/api-keys", body, key=key)
    await session.call("DELETE", f"/api-keys/{created.body['id']}")
    again = await session.call("POST", "/api-keys", body, key=key)
    assert again.error[:2] == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    "expires_at", ["2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
)
async def test_a_key_expires_in_the_future_and_within_ten_years(
    session: Service, expires_at: str
) -> None:
    body = {"name": "a", "expires_at": expires_at}
    refused = await session.call("POST", "/api-keys", body)
    assert refused.error == (400, "invalid_request", "expires_at")


async def test_a_person_has_a_bounded_number_of_keys(
    serve: Callable[..., Awaitable[Service]], pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley_session.application.api_keys.MAX_API_KEYS_PER_PERSON", 2)
    session = await serve()
    first = await create(session)
    await create(session)
    refused = await session.call("POST", "/api-keys", {"name": "a"})
    assert refused.error == (409, "api_keys_full", None)
    await create(session, EVE)
    # A loop of creations and revocations is bounded as well.
    await session.call("DELETE", f"/api-keys/{first['id']}")
    refused = await session.call("POST", "/api-keys", {"name": "a"})
    assert refused.error == (409, "api_keys_full", None)
    await pool.execute("UPDATE api_keys SET revoked_at = revoked_at - interval '1 day'")
    await create(session)


async def test_creation_and_revocation_are_events_without_secret_digest_and_name(
    session: Service, pool: Pool
) -> None:
    created = await create(session, ADMIN, name="a private name", scopes=["admin"])
    await session.call("DELETE", f"/api-keys/{created['id']}")
    events: list[asyncpg.Record] = await pool.fetch(
        "SELECT sequence, type, data::text FROM api_key_events ORDER BY id"
    )
    assert [(event["sequence"], event["type"]) for event in events] == [
        (1, "parley.api_key.api_key_created.v1"),
        (2, "parley.api_key.api_key_revoked.v1"),
    ]
    assert await pool.fetchval("SELECT count(*) FROM api_key_outbox") == 2
    rows = await pool.fetch("SELECT api_keys::text FROM api_keys")
    secret = created["key"].split("_", 2)[2]
    digest = base64.b64decode(presented(created["key"])["digest"])
    for text in (*(event["data"] for event in events), *(row[0] for row in rows)):
        assert secret not in text
    for event in events:
        assert "a private name" not in event["data"]
        assert digest.hex() not in event["data"]


async def test_the_events_of_a_key_carry_the_trace_of_their_requests(
    session: Service, pool: Pool
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    traceparent = f"00-{trace}-b7ad6b7169203331-01"
    with recorded_spans():
        body = {"name": "a program"}
        created = await session.call("POST", "/api-keys", body, traceparent=traceparent)
        path = f"/api-keys/{created.body['id']}"
        assert (await session.call("DELETE", path, traceparent=traceparent)).status == 200
    rows = await pool.fetch("SELECT traceparent FROM api_key_events")
    assert [row["traceparent"].split("-")[1] for row in rows] == [trace, trace]


async def test_a_key_with_models_opens_no_turn_with_another(session: Service) -> None:
    program = Principal(ADA.tenant, ADA.user, models=frozenset(("other",)), api_key=str(uuid4()))
    started = await session.call("POST", "/sessions", {}, who=program)
    path = f"/sessions/{started.body['id']}/messages"
    refused = await session.call("POST", path, {"content": "Hello"}, who=program)
    assert refused.error == (403, "model_not_allowed", "model")
    body = {"content": "Hello", "model": "other"}
    assert (await session.call("POST", path, body, who=program)).status == 201


async def test_a_key_has_limits_of_its_own_in_addition_to_those_of_its_owner(
    serve: Any, tmp_path: Path
) -> None:
    limits = tmp_path / "limits.yaml"
    limits.write_text("limits: [{user: ada, turns_per_minute: 3}, {open_turns: 9}]")
    session: Service = await serve(limits_file=limits)
    key = await create(session, limits={"turns_per_minute": 1})
    assert key["limits"] == {"turns_per_minute": 1}
    assert [each["limits"] for each in await listed(session)] == [key["limits"]]
    [found] = await authenticate(session, key["key"])
    assert found["limits"] == key["limits"]

    program = Principal("default", "ada", api_key=key["id"])
    statuses = []
    for who in (program, program, ADA, ADA, ADA):
        started = await session.call("POST", "/sessions", {}, who=who)
        path = f"/sessions/{started.body['id']}/messages"
        statuses.append((await session.call("POST", path, {"content": "?"}, who=who)).status)
    assert statuses == [201, 429, 201, 201, 429]
    standing = (await session.call("GET", "/limits", who=program)).body["limits"]
    assert [(each["value"], each["used"], each["api_key"]) for each in standing][:2] == [
        (3, 3, None),
        (1, 1, key["id"]),
    ]
    # An owner without such a limit may choose any.
    assert (await create(session, EVE, limits={"turns_per_minute": 50}))["limits"]


@pytest.mark.parametrize(
    ("limits", "param"),
    [
        ({"turns_per_minute": 4}, "limits.turns_per_minute"),
        ({"cost_per_day": 1}, "limits.cost_per_day"),
        ({"turns_per_minute": -1}, "limits.turns_per_minute"),
        ({"turns_per_minute": 10**18}, "limits.turns_per_minute"),
        ({"turns_per_hour": 1}, "limits.turns_per_hour"),
    ],
)
async def test_limits_of_a_key_beyond_those_of_its_owner_are_refused(
    serve: Any, tmp_path: Path, limits: Any, param: str
) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text("limits: [{turns_per_minute: 3}, {per: tenant, turns_per_minute: 30}]")
    session: Service = await serve(limits_file=path)
    answer = await session.call("POST", "/api-keys", {"name": "a program", "limits": limits})
    assert answer.error[:2] == (400, "invalid_request")
    assert answer.error[2] == param
