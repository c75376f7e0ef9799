"""Follows the revocations that the session service knows, of tokens and of API keys."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TypeVar
from uuid import uuid4

import msgspec

from parley_contracts.session_api.revocation_bodies import (
    AllRevocationsResponse,
    RevocationsResponse,
    RevokedTokens,
)
from parley_core.http.errors import ParleyError, decode_response
from parley_core.http.service_client import ServiceClient
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_gateway.auth.revocation_list import RevocationList
from parley_gateway.auth.token_cache import VerifiedTokenCache

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
TIMEOUT_SECONDS = 2.0
# A poll has the revocations of the last 2 minutes: after a longer gap, all are read again.
MAX_GAP_SECONDS = 60.0
# Forgets the expired ones.
RELOAD_SECONDS = 600.0

Response = TypeVar("Response")


class RevocationPoll:
    def __init__(
        self,
        session: ServiceClient,
        revocations: RevocationList,
        tokens: VerifiedTokenCache,
        on_revoked: Callable[[], None],
    ) -> None:
        """`on_revoked` is called when `revocations` refuse more than before."""
        self._session, self._revocations = session, revocations
        self._tokens, self._on_revoked = tokens, on_revoked
        self._polled_at = self._reloaded_at = float("-inf")

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self.poll()

    async def poll(self) -> None:
        """Ask once. Without an answer, the known revocations stay in force."""
        try:
            now = time.monotonic()
            is_due = now - self._reloaded_at > RELOAD_SECONDS
            if is_due or now - self._polled_at > MAX_GAP_SECONDS:
                await self._reload()
            else:
                recent = await self._recent()
                self._apply(self._revocations.add(recent.tokens, recent.api_keys), recent)
                if not recent.tokens_complete:
                    await self._reload()
            self._polled_at = now
        except ParleyError as error:
            # Cached API keys expire by themselves.
            log.debug("revocations are unknown: %s", error.code)
        except Exception as error:
            log_unexpected_error(log, "revocations", error)

    async def _reload(self) -> None:
        """Read all of them, and then those that were committed meanwhile."""
        started_at, found = time.monotonic(), list[RevokedTokens]()
        page = await self._call("/all-revocations", AllRevocationsResponse)
        while page.next is not None:
            found += page.tokens
            path = f"/all-revocations?after={page.next}"
            page = await self._call(path, AllRevocationsResponse)
        recent = await self._recent()
        found += recent.tokens
        is_new = self._revocations.replace(found)
        self._apply(self._revocations.add((), recent.api_keys) or is_new, recent)
        self._reloaded_at = started_at

    def _apply(self, is_new: bool, recent: RevocationsResponse) -> None:
        if is_new:
            self._tokens.drop(self._revocations.refuses)
            self._on_revoked()
        if not recent.complete:
            self._tokens.drop(lambda principal: principal.api_key is not None)

    async def _recent(self) -> RevocationsResponse:
        return await self._call("/revocations", RevocationsResponse)

    async def _call(self, path: str, response_type: type[Response]) -> Response:
        response = await self._session.call(
            "GET",
            path,
            principal=self._session.service_principal,
            request_id=uuid4().hex,
            timeout=TIMEOUT_SECONDS,
        )
        decode = msgspec.json.Decoder(response_type).decode
        return decode_response(response.body, decode, service="session")
