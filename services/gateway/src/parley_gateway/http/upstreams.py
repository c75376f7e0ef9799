"""Clients of the upstream services: session, inference and history."""

import asyncio
from uuid import uuid4

import aiohttp

from parley_core.auth.principal import InternalSecret
from parley_core.http.errors import ParleyError
from parley_core.http.service_client import ServiceClient

# Shorter than the readiness probe's period, so that probes do not pile up.
READINESS_TIMEOUT_SECONDS = 2.0


class Upstreams:
    """All clients share one HTTP session."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        secret: InternalSecret,
        *,
        session_url: str,
        inference_url: str,
        history_url: str,
    ) -> None:
        def client(name: str, url: str) -> ServiceClient:
            return ServiceClient(http, url, caller="gateway", callee=name, secret=secret)

        self.session = client("session", session_url)
        self.inference = client("inference", inference_url)
        self.history = client("history", history_url)

    async def unavailable(self) -> list[str]:
        """The names of the services that do not respond."""
        services = {
            "session": self.session,
            "inference": self.inference,
            "history": self.history,
        }
        responding = await asyncio.gather(*(_responds(each) for each in services.values()))
        return [name for name, responds in zip(services, responding, strict=True) if not responds]


async def _responds(service: ServiceClient) -> bool:
    try:
        await service.call(
            "GET",
            "/healthz",
            principal=service.service_principal,
            request_id=uuid4().hex,
            timeout=READINESS_TIMEOUT_SECONDS,
        )
    except ParleyError:
        return False
    return True
