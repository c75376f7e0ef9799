"""HTTP client of session that signs principals as the other services do."""

import json
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any
from uuid import uuid4

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from parley_core.auth.principal import Principal
from parley_core.auth.service_keys import SigningKey
from parley_testing.peers import signed

ADA = Principal("default", "ada")
EVE = Principal("default", "eve")
# Of the same name, but somewhere else.
OTHER_ADA = Principal("elsewhere", "ada")
INFERENCE = Principal("parley", "inference")
HISTORY = Principal("parley", "history")


@dataclass(frozen=True)
class ApiResponse:
    status: int
    body: Any
    headers: Any

    @property
    def error(self) -> tuple[int, str, str | None]:
        """Status, code and param of an error response."""
        assert set(self.body) == {"error"}, self.body
        error = self.body["error"]
        assert error.keys() - {"records"} == {"message", "type", "param", "code"}
        assert error["message"]
        assert error["type"]
        return self.status, error["code"], error["param"]


def token(
    who: Principal = ADA,
    *,
    issuer: str = "gateway",
    audience: str = "session",
    key: SigningKey | None = None,
    now: datetime | None = None,
) -> str:
    return signed(who, issuer=issuer, audience=audience, key=key, now=now)


@dataclass
class Client:
    url: str
    http: aiohttp.ClientSession

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        who: Principal = ADA,
        issuer: str = "gateway",
        bearer: str | None = None,
        key: str | None = None,
        traceparent: str | None = None,
    ) -> ApiResponse:
        """`body` is encoded as JSON, unless it is bytes."""
        headers = {"authorization": f"Bearer {bearer or token(who, issuer=issuer)}"}
        if key is not None:
            headers["idempotency-key"] = key
        if traceparent is not None:
            headers["traceparent"] = traceparent
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        # aiohttp warns about long bodies of type bytes.
        content = BytesIO(data) if data else data
        async with self.http.request(
            method, self.url + path, data=content, headers=headers
        ) as response:
            return ApiResponse(response.status, await response.json(), response.headers)

    async def start(self, **body: Any) -> dict[str, Any]:
        response = await self.call("POST", "/sessions", body)
        assert response.status == 201, response.body
        return dict(response.body)

    async def submit(self, session_id: str, content: str = "Hello?", **more: Any) -> dict[str, Any]:
        response = await self.call(
            "POST", f"/sessions/{session_id}/messages", {"content": content}, **more
        )
        assert response.status in (200, 201), response.body
        return dict(response.body)

    async def open_turn(self, content: str = "Hello?") -> dict[str, Any]:
        """A turn in a new session."""
        return await self.submit((await self.start())["id"], content)

    async def turn(self, turn_id: str) -> dict[str, Any]:
        return dict((await self.call("GET", f"/turns/{turn_id}")).body)

    async def claim(
        self, turn_id: str, runner: str, who: Principal = ADA, **given: Any
    ) -> dict[str, Any]:
        body = {"runner": runner} | given
        path = f"/turns/{turn_id}/claim"
        response = await self.call("POST", path, body, who=who, issuer="inference")
        assert response.status == 200, response.body
        return dict(response.body)

    async def heartbeat(self, runner: str, *turn_ids: str) -> dict[str, str]:
        """The reason for each turn to stop."""
        response = await self.end(
            f"/runners/{runner}/heartbeat", {"turns": turn_ids, "capacity": 0}
        )
        assert response.status == 200, response.body
        return {stop["turn_id"]: stop["reason"] for stop in response.body["stop"]}

    async def complete(self, turn_id: str, runner: str, **body: Any) -> ApiResponse:
        return await self.end(f"/turns/{turn_id}/complete", completion(runner, **body))

    async def fail(self, turn_id: str, runner: str, **body: Any) -> ApiResponse:
        given = {"runner": runner, "code": "upstream_timeout"}
        return await self.end(f"/turns/{turn_id}/fail", given | body)

    async def metrics(self, label: str = "sessions") -> dict[str, float]:
        """Values by name, without labels or with this one alone."""
        async with self.http.get(self.url + "/metrics") as response:
            assert response.status == 200
            families = text_string_to_metric_families(await response.text())
        return {
            sample.name: sample.value
            for family in families
            for sample in family.samples
            if [*sample.labels.values()] in ([], [label])
        }

    async def end(self, path: str, body: Any) -> ApiResponse:
        """A call by inference as a service."""
        return await self.call("POST", path, body, who=INFERENCE, issuer="inference")

    async def read_as_inference(self, path: str) -> ApiResponse:
        """A read by inference as a service."""
        return await self.call("GET", path, who=INFERENCE, issuer="inference")

    async def answered(self, session_id: str, content: str, reply: str) -> dict[str, Any]:
        """Submits, claims and completes a turn."""
        turn, runner = await self.submit(session_id, content), str(uuid4())
        assert (await self.claim(turn["id"], runner))["claimed"]
        response = await self.complete(turn["id"], runner, content=reply)
        assert response.status == 200, response.body
        return dict(response.body)


def completion(runner: str, **body: Any) -> dict[str, Any]:
    given = {"content": "Hi.", "finish_reason": "stop", "first_token_ms": 1, "total_ms": 2}
    return {"runner": runner} | given | body
