"""Partial reply recovery: reads what a lost runner streamed from the turn's Redis buffer."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from parley_core.crypto.sealing import DataKey
from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker
from parley_core.storage.redis_settings import RedisSettings
from parley_core.streaming.turn_buffer import TurnBufferReader
from parley_core.streaming.turn_buffer_redis import TurnBuffers
from parley_core.token_estimate import estimate_tokens
from parley_events.values import Usage
from parley_session.domain.session.commands import FailReply

log = logging.getLogger(__name__)

_ENTRIES_PER_READ = 2_000
# The turn buffer only saves the text of interrupted replies: an outage of Redis must not delay
# the sweeper.
_REDIS_TIMEOUT_SECONDS = 1
_REDIS_CIRCUIT_OPEN_SECONDS = 5
_DETAILS = "The reply was interrupted. Please retry."


@asynccontextmanager
async def partial_reply_recovery(
    settings: RedisSettings, on_result: Callable[[bool], None]
) -> AsyncIterator["PartialReplyRecovery"]:
    if settings.url is None:
        log.info("PARLEY_REDIS_URL is not set: the text of interrupted replies is lost")
        yield PartialReplyRecovery(None)
        return
    redis = RedisWithCircuitBreaker(
        lambda: settings.current_url,
        timeout_seconds=_REDIS_TIMEOUT_SECONDS,
        open_seconds=_REDIS_CIRCUIT_OPEN_SECONDS,
        max_connections=1,
        on_result=on_result,
    )
    try:
        yield PartialReplyRecovery(TurnBuffers(redis))
    finally:
        await redis.aclose()


class PartialReplyRecovery:
    """Recovers nothing without `buffers`, or while Redis is unavailable."""

    def __init__(self, buffers: TurnBuffers | None) -> None:
        self._buffers = buffers

    async def interrupted_reply(self, turn_id: UUID, key: DataKey) -> FailReply:
        """The command that ends an abandoned turn, with its text and usage up to then."""
        without_text = FailReply(turn_id, "interrupted", details=_DETAILS)
        if self._buffers is None:
            return without_text
        buffer_reader = TurnBufferReader(turn_id, key)
        text = await self._buffers.read_all(buffer_reader, _ENTRIES_PER_READ)
        if buffer_reader.corrupt:
            log.warning("turn %s: buffer has a gap, recovering the text before it", turn_id)
        header = buffer_reader.header
        if header is None or not text:
            return without_text
        return FailReply(
            turn_id,
            "interrupted",
            details=_DETAILS,
            partial_content=text,
            usage=Usage(
                prompt_tokens=header.prompt_tokens,
                completion_tokens=estimate_tokens(len(text.encode())),
                estimated=True,
            ),
            price=header.price,
            model=header.model,
        )
