"""Contract tests of the fake session services: each case runs against them and the real service.

The callers of the session service are tested against these fakes, so a fake that answers otherwise
than the service would hide a defect.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID, uuid4

import aiohttp
import gateway_fakes.session
import history_testing.session_fake
import inference_fakes.session
import msgspec
import pytest
import pytest_asyncio
from e2e_support.stack import Stack
from history_testing.stories import Story

from parley_contracts.api_models import SessionShape, Turn
from parley_contracts.session_api.keys import DataKeysResponse, SearchKeysResponse
from parley_contracts.session_api.turns import ClaimTurnResponse, HeartbeatResponse
from parley_core.auth.principal import Principal
from parley_testing.peers import SECRET, signed

pytestmark = pytest.mark.asyncio(loop_scope="session")

# The inference fake knows the turns of this user only.
ADA = Principal("default", "ada")
RESPONSE = TypeVar("RESPONSE")


@dataclass
class SessionService:
    """A session service, real or fake, as seen by one of its callers."""

    url: str
    caller: str
    secret: str = SECRET
    fake: Any = None
    http: aiohttp.ClientSession = field(default_factory=aiohttp.ClientSession)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        caller: str = "",
        key: str | None = None,
    ) -> tuple[int, bytes]:
        token = signed(ADA, issuer=caller or self.caller, audience="session", secret=self.secret)
        headers = {"authorization": f"Bearer {token}", "x-request-id": str(uuid4())}
        headers |= {"idempotency-key": key} if key else {}
        async with self.http.request(method, self.url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.read()

    async def error(self, method: str, path: str, body: Any = None) -> tuple[int, str | None]:
        status, content = await self.call(method, path, body)
        return status, json.loads(content)["error"]["code"]

    async def expect(self, kind: type[RESPONSE], path: str, body: Any) -> RESPONSE:
        status, content = await self.call("POST", path, body)
        assert status == 200, content
        return msgspec.json.decode(content, type=kind)

    async def start_session(self) -> UUID:
        if self.fake is not None:
            return uuid4()  # The gateway's fake accepts messages of any session.
        status, content = await self.call("POST", "/sessions", {}, caller="gateway")
        assert status == 201, content
        return SessionShape.model_validate_json(content).id

    async def open_turn(self) -> Turn:
        if isinstance(self.fake, inference_fakes.session.FakeSessionService):
            return self.fake.open_turn("Hello").shape()
        path = f"/sessions/{await self.start_session()}/messages"
        status, content = await self.call("POST", path, {"content": "Hello"}, caller="gateway")
        assert status == 201, content
        return Turn.model_validate_json(content)


FAKES: dict[str, Any] = {
    "gateway": gateway_fakes.session.FakeSessionService,
    "inference": inference_fakes.session.FakeSessionService,
    "history": history_testing.session_fake.FakeSessionService,
}


@pytest_asyncio.fixture(loop_scope="session")
async def service(request: pytest.FixtureRequest, stack: Stack) -> AsyncIterator[SessionService]:
    """The session service as `kind caller`, where the kind is `real` or `fake`."""
    kind, caller = request.param.split()
    if kind == "real":
        secret = (stack.data / "secrets" / "internal-secret").read_text().strip()
        service = SessionService(f"http://{stack.address('session')}", caller, secret)
        yield service
        await service.http.close()
    else:
        async with FAKES[caller].serve() as fake:
            service = SessionService(fake.url, caller, fake=fake)
            yield service
            await service.http.close()


def seen_by(*callers: str) -> pytest.MarkDecorator:
    """Run the test against the real service and the fake of each of these callers."""
    services = [f"{kind} {caller}" for caller in callers for kind in ("fake", "real")]
    return pytest.mark.parametrize("service", services, indirect=True)


@seen_by("gateway", "inference")
async def test_an_unknown_turn_is_not_found(service: SessionService) -> None:
    assert await service.error("GET", f"/turns/{uuid4()}") == (404, "turn_not_found")


@seen_by("gateway")
async def test_a_message_opens_a_turn_and_its_key_returns_the_turn_again(
    service: SessionService,
) -> None:
    path, key = f"/sessions/{await service.start_session()}/messages", str(uuid4())
    status, content = await service.call("POST", path, {"content": "Hello"}, key=key)
    opened = Turn.model_validate_json(content)
    assert (status, opened.status, opened.reply, opened.version) == (201, "running", None, 3)
    assert (opened.message.role, opened.message.content) == ("user", "Hello")
    assert (opened.message.version, opened.message.parent_message_id) == (2, None)
    for again in (
        await service.call("POST", path, {"content": "Hello"}, key=key),
        await service.call("GET", f"/turns/{opened.id}"),
    ):
        assert (again[0], Turn.model_validate_json(again[1]).id) == (200, opened.id)


@seen_by("inference")
async def test_the_first_claim_gets_the_turn_and_others_do_not(service: SessionService) -> None:
    turn, runner = await service.open_turn(), str(uuid4())
    for _ in range(2):
        claim = await service.expect(
            ClaimTurnResponse, f"/turns/{turn.id}/claim", {"runner": runner}
        )
        assert claim.claimed
        assert claim.run is not None
        assert claim.run.context.messages[-1].content == "Hello"
        assert claim.run.context.base is None
        assert claim.key
    other = await service.expect(
        ClaimTurnResponse, f"/turns/{turn.id}/claim", {"runner": str(uuid4())}
    )
    assert not other.claimed
    assert other.run is None
    assert other.key == claim.key


@seen_by("inference")
async def test_only_the_runner_ends_a_turn_and_only_once(service: SessionService) -> None:
    turn, runner = await service.open_turn(), str(uuid4())
    await service.call("POST", f"/turns/{turn.id}/claim", {"runner": runner})
    completion = {
        "runner": runner,
        "content": "Good morning",
        "finish_reason": "stop",
        "first_token_ms": 1,
        "total_ms": 2,
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    stranger = completion | {"runner": str(uuid4())}
    refused = await service.error("POST", f"/turns/{turn.id}/complete", stranger)
    assert refused == (403, "not_the_runner")
    failure = {"runner": runner, "code": "interrupted", "partial_content": "Good"}
    for end, body in (("complete", completion), ("fail", failure)):
        status, content = await service.call("POST", f"/turns/{turn.id}/{end}", body)
        ended = Turn.model_validate_json(content)
        assert (status, ended.status, ended.version) == (200, "completed", 4)
        assert ended.reply is not None
        assert (ended.reply.id, ended.reply.content) == (turn.reply_id, "Good morning")
        assert ended.reply.usage is not None
        assert ended.reply.usage.total_tokens == 5


@seen_by("inference")
async def test_a_heartbeat_without_turns_stops_nothing(service: SessionService) -> None:
    beat = await service.expect(
        HeartbeatResponse, f"/runners/{uuid4()}/heartbeat", {"turns": [], "capacity": 0}
    )
    assert beat.stop == []


@seen_by("history")
async def test_an_unknown_session_is_not_found(service: SessionService) -> None:
    assert await service.error("GET", f"/sessions/{uuid4()}") == (404, "session_not_found")


@seen_by("history")
async def test_keys_are_those_of_known_sessions_and_people(service: SessionService) -> None:
    if service.fake is not None:
        story = Story(ADA)
        service.fake.add(story)
        known = story.id
    else:
        known = await service.start_session()
    unknown = uuid4()
    ids = {"session_ids": [str(known), str(unknown)]}
    keys = (await service.expect(DataKeysResponse, "/keys", ids)).keys
    assert set(keys) == {known}
    assert keys[known]
    people = [
        {"tenant": ADA.tenant, "user": ADA.user},
        {"tenant": ADA.tenant, "user": f"nobody-{uuid4()}"},
    ]
    found = (await service.expect(SearchKeysResponse, "/search-keys", {"people": people})).keys
    assert [bool(each.key) for each in found] == [True, False]
