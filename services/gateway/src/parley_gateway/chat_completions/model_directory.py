"""Looks models up in inference's list, which is cached for some seconds."""

import asyncio
import logging
import time
from typing import Any

import msgspec

from parley_core.auth.caller import Caller
from parley_core.http.errors import NotFound, ParleyError, Unavailable
from parley_core.http.service_client import ServiceClient
from parley_gateway.http.forwarding import Forwarder

log = logging.getLogger(__name__)

LIST_TTL_SECONDS = 5.0


class _List(msgspec.Struct):
    data: list[dict[str, Any]]


_decode = msgspec.json.Decoder(_List).decode


class ModelDirectory:
    """Serves the last list while inference is unavailable."""

    def __init__(self, forwarder: Forwarder, inference: ServiceClient) -> None:
        self._forwarder, self._inference = forwarder, inference
        self._models: dict[str, dict[str, Any]] | None = None
        self._fresh_until = 0.0
        self._refresh: asyncio.Task[None] | None = None

    async def find(self, name: str, caller: Caller) -> dict[str, Any]:
        """The model as inference lists it. Raises NotFound, or Unavailable."""
        if self._models is None or time.monotonic() >= self._fresh_until:
            # Concurrent requests share one call; none of them cancels it by disconnecting.
            if self._refresh is None or self._refresh.done():
                self._refresh = asyncio.create_task(self._fetch(caller))
            await asyncio.shield(self._refresh)
        if self._models is None:
            raise Unavailable(
                "The inference service cannot list its models. Please retry.",
                code="inference_unavailable",
            )
        if name not in self._models:
            raise NotFound(
                "Unknown model. GET /v1/models lists the available ones.",
                code="model_not_found",
                param="model",
            )
        return self._models[name]

    async def _fetch(self, caller: Caller) -> None:
        try:
            response = await self._forwarder.call(self._inference, "GET", "/models", caller)
            self._models = {model["id"]: model for model in _decode(response.body).data}
        except (ParleyError, ValueError, KeyError) as error:
            log.warning("failed to list the models of inference: %s", type(error).__name__)
        self._fresh_until = time.monotonic() + LIST_TTL_SECONDS
