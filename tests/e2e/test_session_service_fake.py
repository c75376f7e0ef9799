"""Contract tests of the fake session service: each case runs against it and the real service.

The callers of the session service are tested against the fake, so a fake that answers otherwise
than the service would hide a defect.
"""

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from uuid import uuid4

import msgspec
import pytest
import pytest_asyncio
from e2e_support.session_service import SessionService
from e2e_support.stack import Stack

from parley_contracts.api_models import AuditRecord, CreatedApiKey, Page, SessionShape, Turn
from parley_contracts.session_api.api_key_bodies import AuthenticateApiKeysResponse
from parley_contracts.session_api.keys import DataKeysResponse, SearchKeysResponse
from parley_contracts.session_api.revocation_bodies import (
    AllRevocationsResponse,
    RevocationsResponse,
)
from parley_contracts.session_api.turns import ClaimTurnResponse, HeartbeatResponse
from parley_contracts.session_api.version_bodies import VersionsResponse
from parley_core.auth.principal import Principal
from parley_core.auth.service_keys import SigningKey
from parley_testing.session_service import FakeSessionService
from parley_testing.stored_turn import ADA

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session", params=["fake", "real"])
async def service(request: pytest.FixtureRequest, stack: Stack) -> AsyncIterator[SessionService]:
    if request.param == "real":
        secrets = stack.data / "secrets"
        service = SessionService(
            f"http://{stack.address('session')}",
            lambda caller: SigningKey.parse((secrets / f"{caller}-signing-key").read_text()),
        )
        yield service
        await service.http.close()
    else:
        async with FakeSessionService.serve() as fake:
            service = SessionService(fake.url, fake=fake)
            yield service
            await service.http.close()


@pytest.mark.parametrize("caller", ["gateway", "inference"])
async def test_an_unknown_turn_is_not_found(service: SessionService, caller: str) -> None:
    assert await service.error(caller, "GET", f"/turns/{uuid4()}") == (404, "turn_not_found")


async def test_a_message_opens_a_turn_and_its_key_returns_the_turn_again(
    service: SessionService,
) -> None:
    path, key = f"/sessions/{await service.start_session()}/messages", str(uuid4())
    status, content = await service.call("gateway", "POST", path, {"content": "Hello"}, key)
    opened = Turn.model_validate_json(content)
    assert (status, opened.status, opened.reply, opened.version) == (201, "running", None, 3)
    assert (opened.message.role, opened.message.content) == ("user", "Hello")
    assert (opened.message.version, opened.message.parent_message_id) == (2, None)
    for again in (
        await service.call("gateway", "POST", path, {"content": "Hello"}, key),
        await service.call("gateway", "GET", f"/turns/{opened.id}"),
    ):
        assert (again[0], Turn.model_validate_json(again[1]).id) == (200, opened.id)


async def test_the_first_claim_gets_the_turn_and_others_do_not(service: SessionService) -> None:
    turn, runner = await service.open_turn(), str(uuid4())
    for _ in range(2):
        claim = await service.expect(
            "inference", ClaimTurnResponse, f"/turns/{turn.id}/claim", {"runner": runner}
        )
        assert claim.claimed
        assert claim.run is not None
        assert claim.run.context.messages[-1].content == "Hello"
        assert claim.run.context.base is None
        assert claim.key
    other = await service.expect(
        "inference", ClaimTurnResponse, f"/turns/{turn.id}/claim", {"runner": str(uuid4())}
    )
    assert not other.claimed
    assert other.run is None
    assert other.key == claim.key


async def test_only_the_runner_ends_a_turn_and_only_once(service: SessionService) -> None:
    turn, runner = await service.open_turn(), str(uuid4())
    await service.call("inference", "POST", f"/turns/{turn.id}/claim", {"runner": runner})
    completion = {
        "runner": runner,
        "content": "Good morning",
        "finish_reason": "stop",
        "first_token_ms": 1,
        "total_ms": 2,
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    stranger = completion | {"runner": str(uuid4())}
    refused = await service.error("inference", "POST", f"/turns/{turn.id}/complete", stranger)
    assert refused == (403, "not_the_runner")
    failure = {"runner": runner, "code": "interrupted", "partial_content": "Good"}
    for end, body in (("complete", completion), ("fail", failure)):
        status, content = await service.call("inference", "POST", f"/turns/{turn.id}/{end}", body)
        ended = Turn.model_validate_json(content)
        assert (status, ended.status, ended.version) == (200, "completed", 4)
        assert ended.reply is not None
        assert (ended.reply.id, ended.reply.content) == (turn.reply_id, "Good morning")
        assert ended.reply.usage is not None
        assert ended.reply.usage.total_tokens == 5


async def test_a_heartbeat_without_turns_stops_nothing(service: SessionService) -> None:
    beat = await service.expect(
        "inference",
        HeartbeatResponse,
        f"/runners/{uuid4()}/heartbeat",
        {"turns": [], "capacity": 0},
    )
    assert beat.stop == []


async def test_an_unknown_session_is_not_found(service: SessionService) -> None:
    assert await service.error("history", "GET", f"/sessions/{uuid4()}") == (
        404,
        "session_not_found",
    )


async def test_keys_are_those_of_known_sessions_and_people(service: SessionService) -> None:
    known = await service.start_session()
    unknown = uuid4()
    ids = {"session_ids": [str(known), str(unknown)]}
    keys = (await service.expect("history", DataKeysResponse, "/keys", ids)).keys
    assert set(keys) == {known}
    assert keys[known]
    people = [
        {"tenant": ADA.tenant, "user": ADA.user},
        {"tenant": ADA.tenant, "user": f"nobody-{uuid4()}"},
    ]
    found = (
        await service.expect("history", SearchKeysResponse, "/search-keys", {"people": people})
    ).keys
    assert [bool(each.key) for each in found] == [True, False]


async def test_versions_are_those_of_known_sessions(service: SessionService) -> None:
    turn, unknown = await service.open_turn(), uuid4()
    if service.fake is not None:
        service.fake.versions |= {turn.session_id: turn.version, unknown: 0}
    ids = {"session_ids": [str(turn.session_id), str(unknown)]}
    found = await service.expect("gateway", VersionsResponse, "/versions", ids)
    assert found.versions == {turn.session_id: turn.version}
    status, content = await service.call("history", "GET", "/latest-versions")
    assert status == 200
    latest = msgspec.json.decode(content, type=VersionsResponse).versions
    assert latest[turn.session_id] == turn.version


async def test_a_session_is_described_to_its_owner(service: SessionService) -> None:
    id = await service.start_session()
    status, content = await service.call("history", "GET", f"/sessions/{id}")
    session = SessionShape.model_validate_json(content)
    assert (status, session.id, session.version) == (200, id, 1)


async def test_a_cancelled_turn_ends_as_cancelled_with_the_partial_reply(
    service: SessionService,
) -> None:
    turn, runner = await service.open_turn(), str(uuid4())
    await service.call("inference", "POST", f"/turns/{turn.id}/claim", {"runner": runner})
    if service.fake is None:
        await service.call("gateway", "POST", f"/turns/{turn.id}/cancel", {})
    body = {"runner": runner, "code": "cancelled", "partial_content": "Good"}
    status, content = await service.call("inference", "POST", f"/turns/{turn.id}/fail", body)
    ended = Turn.model_validate_json(content)
    assert (status, ended.status, ended.error) == (200, "cancelled", None)
    assert ended.reply is not None
    assert (ended.reply.content, ended.reply.status) == ("Good", "cancelled")


async def test_api_keys_are_created_listed_authenticated_and_revoked(
    service: SessionService,
) -> None:
    status, content = await service.call("gateway", "POST", "/api-keys", {"name": "a program"})
    created = CreatedApiKey.model_validate_json(content)
    assert status == 201
    _, key_id, secret = created.key.split("_", 2)
    digest = hashlib.sha256(base64.urlsafe_b64decode(secret + "=")).digest()
    wrong = hashlib.sha256(b"another").digest()
    body = {
        "keys": [
            {"id": str(created.id), "digest": base64.b64encode(each).decode()}
            for each in (wrong, digest)
        ]
    }
    assert key_id == created.id.hex
    path = "/api-keys/authenticate"
    found = await service.expect("gateway", AuthenticateApiKeysResponse, path, body)
    assert found.keys[0] is None
    assert found.keys[1] is not None
    assert (found.keys[1].tenant, found.keys[1].user) == (ADA.tenant, ADA.user)
    assert (found.keys[1].scopes, found.keys[1].models) == ([], None)

    _, content = await service.call("gateway", "GET", "/api-keys")
    assert str(created.id) in [each["id"] for each in json.loads(content)["data"]]
    assert secret.encode() not in content
    status, _ = await service.call("gateway", "DELETE", f"/api-keys/{created.id}")
    assert status == 200
    refused = await service.error("gateway", "DELETE", f"/api-keys/{created.id}")
    assert refused == (404, "api_key_not_found")
    found = await service.expect("gateway", AuthenticateApiKeysResponse, path, body)
    assert found.keys == [None, None]
    _, content = await service.call("gateway", "GET", "/revocations")
    revocations = msgspec.json.decode(content, type=RevocationsResponse)
    assert created.id in revocations.api_keys
    assert revocations.complete


async def test_gateways_read_what_is_revoked(service: SessionService) -> None:
    target = f"ada-{uuid4()}"
    if service.fake is not None:
        service.fake.revoke("user", target, ADA.tenant)
    else:
        boss = Principal(ADA.tenant, "boss", frozenset(("admin",)))
        body = {"kind": "user", "target": target}
        await service.call("gateway", "POST", "/token-revocations", body, who=boss)
    _, content = await service.call("gateway", "GET", "/all-revocations")
    page = msgspec.json.decode(content, type=AllRevocationsResponse)
    [ours] = [each for each in page.tokens if each.target == target]
    assert (ours.tenant, ours.kind) == (ADA.tenant, "user")
    _, content = await service.call("gateway", "GET", f"/all-revocations?after={page.next}")
    assert not msgspec.json.decode(content, type=AllRevocationsResponse).tokens
    _, content = await service.call("gateway", "GET", "/revocations")
    assert ours in msgspec.json.decode(content, type=RevocationsResponse).tokens


async def test_an_api_key_has_no_scope_that_its_owner_lacks(service: SessionService) -> None:
    body = {"name": "a program", "scopes": ["admin"]}
    refused = await service.error("gateway", "POST", "/api-keys", body)
    assert refused == (403, "missing_scope")


async def test_only_auditors_read_the_trail(service: SessionService) -> None:
    assert await service.error("gateway", "GET", "/audit") == (403, "missing_scope")
    auditor = Principal(f"tenant-{uuid4()}", "auditor", frozenset(("audit:read",)))
    status, content = await service.call("gateway", "GET", "/audit?limit=5", who=auditor)
    assert (status, Page[AuditRecord].model_validate_json(content)) == (200, Page(data=[]))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/audit/reads", {"action": "messages.searched"}),
        ("/audit/reads", {"action": "session.exported", "session_id": str(uuid4())}),
        ("/audit/refusals", {"refused": [{"code": "missing_scope"}, {"left_out": 3}]}),
    ],
)
async def test_gateways_record_reads_and_refused_access(
    service: SessionService, path: str, body: dict[str, object]
) -> None:
    status, content = await service.call("gateway", "POST", path, body)
    assert (status, json.loads(content)) == (200, {})


async def test_without_limits_nothing_is_listed_and_completions_are_admitted(
    service: SessionService,
) -> None:
    status, content = await service.call("gateway", "GET", "/limits")
    assert (status, json.loads(content)) == (200, {"limits": []})
    body = {"model": "scripted"}
    status, content = await service.call("gateway", "POST", "/completions/admission", body)
    assert (status, json.loads(content)) == (200, {})
