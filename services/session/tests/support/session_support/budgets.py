"""Turns and completions of people with limits or budgets, and where they stand."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import uuid4

from parley_core.auth.principal import Principal
from session_support.client import ADA, ApiResponse
from session_support.service import Service

API_KEY = "0199c1f0-7a10-7c52-9d3e-6f1a2b3c4d5e"
Budgeted = Callable[[str], Awaitable[Service]]
"""Starts a session service with these rules and MODELS."""

# A prompt token costs a micro-unit, a reply token ten: a reply of 100 tokens costs up to 1,000.
PRICE = {"currency": "USD", "prompt": 1_000_000, "completion": 10_000_000}
MODELS = f"""
models:
  - {{name: demo, base_url: 'http://x', context_size: 8000, reply_tokens: 100, price: {PRICE}}}
"""
USAGE = {"prompt_tokens": 60, "completion_tokens": 40}
COST = 60 + 400
COMPLETION = {"model": "demo", "prompt_tokens": 50, "max_tokens": 20}
COMPLETION_COST = 50 + 200


async def started(session: Service, who: Principal = ADA) -> str:
    return str((await session.call("POST", "/sessions", {}, who=who)).body["id"])


async def submitted(session: Service, session_id: str, **given: Any) -> ApiResponse:
    path = f"/sessions/{session_id}/messages"
    return await session.call("POST", path, {"content": "Hello?"}, **given)


async def opened(session: Service, who: Principal = ADA) -> ApiResponse:
    return await submitted(session, await started(session, who), who=who)


async def claimed(session: Service, turn: ApiResponse, who: Principal = ADA) -> str:
    runner = str(uuid4())
    assert (await session.claim(turn.body["id"], runner, who))["claimed"]
    return runner


async def end(session: Service, turn: ApiResponse, who: Principal = ADA, usage: Any = None) -> None:
    runner = await claimed(session, turn, who)
    given = {"usage": usage or USAGE, "price": PRICE}
    assert (await session.complete(turn.body["id"], runner, **given)).status == 200


async def admit(session: Service, who: Principal = ADA) -> ApiResponse:
    return await session.call("POST", "/completions/admission", COMPLETION, who=who)


async def record(session: Service, id: str, who: Principal = ADA) -> None:
    body = {"id": id, "model": "demo", "status": "completed", "usage": USAGE, "price": PRICE}
    response = await session.call("POST", "/completions", body, who=who, issuer="inference")
    assert response.status == 200


async def standing(session: Service, who: Principal = ADA) -> Mapping[str, tuple[int, int]]:
    """What is spent and reserved of each budget."""
    limits = (await session.call("GET", "/limits", who=who)).body["limits"]
    return {each["name"]: (each["used"], each["reserved"]) for each in limits}


async def reserved_by_one(session: Service, who: Principal = ADA) -> int:
    [(_, reserved)] = (await standing(session, who)).values()
    return reserved
