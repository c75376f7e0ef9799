"""Calls on sessions, over HTTP."""

from typing import Any
from uuid import uuid4

from parley_core.auth.principal import Principal
from session_support.client import ADA, HISTORY, ApiResponse, Client

ADMIN = Principal("default", "root", frozenset({"admin"}))


def runner() -> str:
    """A new runner's id."""
    return str(uuid4())


async def delete(session: Client, session_id: str, who: Principal = ADA) -> ApiResponse:
    return await session.call("DELETE", f"/sessions/{session_id}", who=who)


async def hold(session: Client, session_id: str, *, legal_hold: bool = True) -> ApiResponse:
    body = {"legal_hold": legal_hold}
    return await session.call("PATCH", f"/sessions/{session_id}", body, who=ADMIN)


async def keys_of(session: Client, *session_ids: str) -> dict[str, Any]:
    """The keys that history gets."""
    asked = {"session_ids": session_ids}
    response = await session.call("POST", "/keys", asked, who=HISTORY, issuer="history")
    return dict(response.body["keys"])
