"""The roles of the table of access: their credentials, and the objects they ask for."""

import json
import re
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from e2e_support.access_requests import AccessRequest
from e2e_support.stack import Stack

ALL_SCOPES = "assistants:write audit:read admin"

ROLES: Mapping[str, str] = {
    "no token": "a request without a token",
    "expired": "the expired token of the owner",
    "ticket": "the ticket of the stream of the owner's turn, without a token",
    "stranger": f"a person of another tenant, with the scopes `{ALL_SCOPES}`",
    "colleague": "another person of the tenant, without scopes",
    "author": "the same with the scope `assistants:write`",
    "auditor": "the same with the scope `audit:read`",
    "admin": "the same with the scope `admin`",
    "admin's key": "an API key of the administrator, with the scope `admin`",
    "owner": "the person whose session, turn or API key it is, without scopes",
    "owner's key": "an API key of the owner",
}
_SCOPES = {
    "stranger": ALL_SCOPES,
    "author": "assistants:write",
    "auditor": "audit:read",
    "admin": "admin",
}
OWNERS = ("owner", "owner's key", "ticket")
"""Those who may see what the owner wrote."""
_NAME = re.compile(r"\{(\w+)\}")


class Tenant:
    """A new tenant with an owner of objects, which exist once a request names them."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._stack, self._name = stack, name or f"tenant-{uuid4().hex}"
        self._people = {role: f"{role.replace(' ', '-')}-{uuid4()}" for role in ROLES}
        self.secret = f"secret-{uuid4().hex}"
        """A word of the owner's session."""
        self._objects: dict[str, str] = {}
        self._tokens: dict[str, str] = {}

    async def ask(self, role: str, request: AccessRequest) -> tuple[int, str]:
        """The status of the response and its text."""
        path = await self._filled(request.path_and_query)
        body = json.loads(await self._filled(json.dumps(request.body)))
        headers: dict[str, str] = {}
        if role == "ticket":
            path += ("&" if "?" in path else "?") + f"ticket={await self._object('ticket')}"
        elif role != "no token":
            headers["authorization"] = f"Bearer {await self._token(role)}"
        content = {} if request.body is None else {"json": body}
        response = await self._stack.fetch(path, request.method, headers=headers, **content)
        if request.method != "GET" and response.status_code < 300:
            # They may be erased, retired or revoked now.
            erases_all = request.route == "DELETE /v1/sessions"
            named = [*self._objects] if erases_all else _NAME.findall(request.path_and_query)
            for name in named:
                self._objects.pop(name, None)
        return response.status_code, response.text

    async def _token(self, role: str) -> str:
        if role.endswith("'s key"):
            if role not in self._tokens:
                maker = role.removesuffix("'s key")
                body = {"name": "a program", "scopes": _SCOPES.get(maker, "").split()}
                user = self._stack.user_with_token(await self._token(maker))
                self._tokens[role] = (await user.post("/api-keys", body))["key"]
            return self._tokens[role]
        if role not in self._tokens:
            tenant = f"other-{self._name}" if role == "stranger" else self._name
            claims: dict[str, Any] = {"tenant": tenant, "scope": _SCOPES.get(role, "")}
            if role == "expired":
                claims["exp"] = int(time.time()) - 600
            person = self._people["owner" if role == "expired" else role]
            self._tokens[role] = self._stack.token(person, **claims)
        return self._tokens[role]

    async def _filled(self, text: str) -> str:
        for name in _NAME.findall(text):
            text = text.replace(f"{{{name}}}", await self._object(name))
        return text

    async def _object(self, name: str) -> str:
        if name == "owner":
            return self._people["owner"]
        if name == "new_id":
            return f"a{uuid4().hex}"
        if name not in self._objects:
            self._objects |= await self._made(name)
        return self._objects[name]

    async def _made(self, name: str) -> Mapping[str, str]:
        owner = self._stack.user_with_token(await self._token("owner"))
        match name:
            case "session_id" | "deleted_session_id":
                session = await owner.start_session(title=self.secret)
                if name == "deleted_session_id":
                    await owner.delete(f"/sessions/{session}")
                else:
                    messages = [{"role": "user", "content": self.secret}]
                    await owner.post(f"/history/{session}", {"messages": messages})
                return {name: session}
            case "turn_id" | "ticket":
                session = await owner.start_session(title=self.secret)
                body = {"content": self.secret, "background": True}
                response = await owner.request("POST", f"/sessions/{session}/messages", json=body)
                assert response.status_code == 202, response.text
                turn = response.json()
                return {"turn_id": turn["id"], "ticket": turn["stream_url"].split("ticket=")[1]}
            case "assistant_id":
                author = self._stack.user_with_token(await self._token("author"))
                body = {"name": "Pirate", "instructions": "Speak as a pirate."}
                return {
                    name: (await author.post("/assistants", {"id": f"a{uuid4().hex}"} | body))["id"]
                }
            case "key_id":
                return {name: (await owner.post("/api-keys", {"name": "another"}))["id"]}
            case _:
                raise ValueError(name)
