"""Clients of the upstream services: session, inference and history."""

import aiohttp

from parley_core.auth.service_keys import SigningKey
from parley_core.http.service_client import ServiceClient
from parley_core.process.process_monitor import ProcessMonitor
from parley_core.tls.tls_settings import TlsSettings


class Upstreams:
    """All clients share one HTTP session."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        key: SigningKey,
        *,
        session_url: str,
        inference_url: str,
        history_url: str,
        monitor: ProcessMonitor | None = None,
        tls: TlsSettings | None = None,
    ) -> None:
        def client(name: str, url: str) -> ServiceClient:
            return ServiceClient(
                http,
                url,
                callee=name,
                key=key,
                monitor=monitor,
                tls=tls,
                pseudonym_of=key.pseudonym_of,
            )

        self.session = client("session", session_url)
        self.inference = client("inference", inference_url)
        self.history = client("history", history_url)
