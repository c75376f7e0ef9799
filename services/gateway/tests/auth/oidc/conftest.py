"""A gateway that accepts one issuer."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from gateway_fakes.gateway import Gateway
from gateway_fakes.issuer import QUICKLY, Issuer

from parley_testing.fake_service import raw
from parley_testing.session_service import FakeSessionService


@pytest.fixture
def start_with(
    start: Callable[..., Awaitable[Gateway]], issuer: Issuer, tmp_path: Path
) -> Callable[..., Any]:
    async def start_with(constants: Any = QUICKLY, **entry: Any) -> Gateway:
        return await start(
            jwt={"issuers": issuer.write_file(tmp_path, **entry)}, constants=constants
        )

    return start_with


@pytest.fixture
async def ask(session: FakeSessionService) -> Callable[..., Any]:
    async def ask(gateway: Gateway, bearer: str) -> int | tuple[int, str]:
        """200, or the status and code of the refusal."""
        session.answers.clear()
        session.answers.append(raw(b"{}"))
        status, body = await gateway.get("/v1/assistants", bearer=bearer)
        return 200 if status == 200 else (status, body["error"]["code"])

    return ask
