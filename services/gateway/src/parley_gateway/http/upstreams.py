"""The services behind the gateway, and whether they answer."""

import asyncio
from uuid import uuid4

import aiohttp

from parley_core.auth.principal import InternalSecret
from parley_core.http.errors import ParleyError
from parley_core.http.service_client import ServiceClient


class Upstreams:
    """All are called over one shared session."""

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

    async def missing(self, within: float) -> list[str]:
        """The names of those that do not answer within the seconds."""
        peers = {"session": self.session, "inference": self.inference, "history": self.history}
        answers = await asyncio.gather(*(_answers(peer, within) for peer in peers.values()))
        return [name for name, answered in zip(peers, answers, strict=True) if not answered]


async def _answers(peer: ServiceClient, within: float) -> bool:
    try:
        await peer.call(
            "GET",
            "/healthz",
            principal=peer.service_principal,
            request_id=uuid4().hex,
            timeout=within,
        )
    except ParleyError:
        return False
    return True
