"""Writes the OpenAPI document of the gateway to web/openapi.json; `--check` compares instead.

The chat page's client is generated from it.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from pydantic import SecretStr

from parley_core.auth.service_keys import ServiceKeys, generate_signing_key
from parley_gateway.app import create_gateway
from parley_gateway.auth.token_settings import JWTSettings
from parley_gateway.settings import GatewaySettings

DOCUMENT = Path("web/openapi.json")


def main(arguments: list[str]) -> int:
    document = asyncio.run(_document())
    if "--check" not in arguments:
        DOCUMENT.write_text(document)
        return 0
    if DOCUMENT.read_text() == document:
        return 0
    print(f"{DOCUMENT} is out of date: run `make format`.", file=sys.stderr)
    return 1


@asynccontextmanager
async def started_api() -> AsyncIterator[FastAPI]:
    """The gateway's API: its routes exist once it has started, for which it calls no service."""
    nowhere = "http://127.0.0.1:9"
    secret = "none-" * 8
    settings = GatewaySettings(
        signing_key=generate_signing_key("gateway", 1),
        service_keys=ServiceKeys({}),
        session_url=nowhere,
        inference_url=nowhere,
        history_url=nowhere,
        jwt=JWTSettings(secret=SecretStr(secret)),
    )
    api = create_gateway(settings).api
    async with api.router.lifespan_context(api):
        yield api


async def _document() -> str:
    async with started_api() as api:
        return json.dumps(api.openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
