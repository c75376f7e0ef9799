"""The API keys of the fake session service."""

import asyncio
import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from aiohttp import web

from parley_contracts.api_models import ApiKey, ApiKeyDeleted, CreatedApiKey, Page
from parley_core.auth.principal import Principal
from parley_testing.fake_service import Call, raw
from parley_testing.peers import refusal


class FakeApiKeys:
    def __init__(self) -> None:
        self._keys: dict[UUID, tuple[Principal, CreatedApiKey]] = {}
        self._revoked: list[UUID] = []
        self.lookups = 0
        """Calls that authenticate keys."""
        self.before_answer = asyncio.Event()
        """Set while such calls are answered."""
        self.before_answer.set()

    def create(self, owner: Principal, **fields: Any) -> CreatedApiKey:
        key_id = uuid4()
        secret = base64.urlsafe_b64encode(hashlib.sha256(key_id.bytes).digest()).rstrip(b"=")
        chosen = {"name": "a program", "scopes": [], "models": None, "expires_at": None} | fields
        key = CreatedApiKey(
            id=key_id,
            created_at=datetime.now(UTC),
            last_used_on=None,
            key=f"pk_{key_id.hex}_{secret.decode()}",
            **chosen,
        )
        self._keys[key_id] = owner, key
        return key

    def revoke(self, key_id: UUID) -> None:
        del self._keys[key_id]
        self._revoked.append(key_id)

    async def answer(self, call: Call, *path: str) -> web.Response:
        match call.method, *path:
            case "POST", "authenticate":
                self.lookups += 1
                await self.before_answer.wait()
                found = [self._authenticated(**each) for each in call.body["keys"]]
                return web.json_response({"keys": found})
            case _ if call.principal.api_key is not None:
                return refusal(403, "api_key_not_allowed")
            case ("POST",):
                if not {*call.body.get("scopes", ())} <= call.principal.scopes:
                    return refusal(403, "missing_scope", "scopes")
                return raw(self.create(call.principal, **call.body).to_json(), 201)
            case ("GET",):
                mine = [key for owner, key in self._keys.values() if owner == call.principal]
                shapes = [ApiKey(**key.model_dump(exclude={"key"})) for key in reversed(mine)]
                return raw(Page.of(shapes).to_json())
            case "DELETE", key_id:
                if self._keys.get(UUID(key_id), (None,))[0] != call.principal:
                    return refusal(404, "api_key_not_found", "key_id")
                self.revoke(UUID(key_id))
                return raw(ApiKeyDeleted(id=UUID(key_id)).to_json())
            case _:
                return refusal(404, "not_scripted")

    @property
    def revoked(self) -> list[str]:
        return [*map(str, self._revoked)]

    def _authenticated(self, id: str, digest: str) -> dict[str, Any] | None:
        owner, key = self._keys.get(UUID(id), (None, None))
        if owner is None or key is None:
            return None
        secret = base64.urlsafe_b64decode(key.key.split("_", 2)[2] + "=")
        if base64.b64decode(digest) != hashlib.sha256(secret).digest():
            return None
        shown = json.loads(key.to_json())
        names = ("id", "scopes", "models", "created_at", "expires_at", "limits")
        fields = {name: shown[name] for name in names}
        return fields | {"tenant": owner.tenant, "user": owner.user}
