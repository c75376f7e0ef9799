"""The models of the catalogue, as inference listed them some seconds ago."""

import asyncio
import logging
import time
from typing import Any

import msgspec

from parley_core.http.errors import NotFound, ParleyError, Unavailable
from parley_gateway.auth.authenticator import Caller
from parley_gateway.http.forwarding import Forwarder
from parley_gateway.parts import Parts

log = logging.getLogger(__name__)


class _List(msgspec.Struct):
    data: list[dict[str, Any]]


_decode = msgspec.json.Decoder(_List).decode


class ModelDirectory:
    """Asks again after `seconds`; while inference is away, what it said last counts."""

    def __init__(self, parts: Parts, passing: Forwarder, seconds: float) -> None:
        self._parts, self._passing, self._seconds = parts, passing, seconds
        self._models: dict[str, dict[str, Any]] | None = None
        self._until = 0.0
        self._asking: asyncio.Task[None] | None = None

    async def find(self, name: str, asker: Caller) -> dict[str, Any]:
        """The model as inference lists it. Raises NotFound, or Unavailable."""
        if self._models is None or time.monotonic() >= self._until:
            # All who wait share one call, and whoever of them leaves does not end it.
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask(asker))
            await asyncio.shield(self._asking)
        if self._models is None:
            raise Unavailable(
                "The inference service does not list its models; try again.",
                code="inference_unavailable",
            )
        if name not in self._models:
            raise NotFound(
                "There is no such model: GET /v1/models lists those that there are.",
                code="model_not_found",
                param="model",
            )
        return self._models[name]

    async def _ask(self, asker: Caller) -> None:
        inference = self._parts.peers.inference
        try:
            answer = await self._passing.ask(inference, "GET", "/models", asker)
            self._models = {model["id"]: model for model in _decode(answer.body).data}
        except (ParleyError, ValueError, KeyError) as trouble:
            log.warning("inference does not list its models: %s", type(trouble).__name__)
        self._until = time.monotonic() + self._seconds
