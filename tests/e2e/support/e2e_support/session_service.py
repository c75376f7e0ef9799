"""A session service, real or fake, as the other services call it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID, uuid4

import aiohttp
import msgspec
from history_testing.stories import Story

from parley_contracts.api_models import SessionShape, Turn
from parley_core.auth.principal import Principal
from parley_core.auth.service_keys import SigningKey
from parley_testing.peers import signed, signing_key
from parley_testing.session_service import FakeSessionService
from parley_testing.stored_turn import ADA

RESPONSE = TypeVar("RESPONSE")


@dataclass
class SessionService:
    """A session service, real or fake."""

    url: str
    key_of: Callable[[str], SigningKey] = signing_key
    fake: FakeSessionService | None = None
    http: aiohttp.ClientSession = field(default_factory=aiohttp.ClientSession)

    async def call(
        self,
        caller: str,
        method: str,
        path: str,
        body: Any = None,
        key: str | None = None,
        who: Principal = ADA,
    ) -> tuple[int, bytes]:
        """Status and body of a call by that service on behalf of Ada, or another person."""
        token = signed(who, audience="session", key=self.key_of(caller))
        headers = {"authorization": f"Bearer {token}", "x-request-id": str(uuid4())}
        headers |= {"idempotency-key": key} if key else {}
        async with self.http.request(method, self.url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.read()

    async def error(
        self, caller: str, method: str, path: str, body: Any = None
    ) -> tuple[int, str | None]:
        status, content = await self.call(caller, method, path, body)
        return status, json.loads(content)["error"]["code"]

    async def expect(self, caller: str, kind: type[RESPONSE], path: str, body: Any) -> RESPONSE:
        status, content = await self.call(caller, "POST", path, body)
        assert status == 200, content
        return msgspec.json.decode(content, type=kind)

    async def start_session(self) -> UUID:
        if self.fake is not None:
            self.fake.add(story := Story(ADA))
            return story.id
        status, content = await self.call("gateway", "POST", "/sessions", {})
        assert status == 201, content
        return SessionShape.model_validate_json(content).id

    async def open_turn(self) -> Turn:
        path = f"/sessions/{await self.start_session()}/messages"
        status, content = await self.call("gateway", "POST", path, {"content": "Hello"})
        assert status == 201, content
        return Turn.model_validate_json(content)
