"""Follows history's stream of sessions that moved, and tells the stored pages."""

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import aiohttp
import msgspec

from parley_core.http.errors import ParleyError
from parley_core.http.service_client import ServiceClient
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_gateway.history.page_cache import PageCache
from parley_gateway.http.backoff import ReconnectBackoff

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InvalidationFeedSettings:
    """Seconds and bytes; see the settings of the same names."""

    silence: float
    pause: float
    most_pause: float
    line_bytes: int


class _Line(msgspec.Struct):
    listening: bool = False
    moved: Sequence[UUID] = ()


class _Unusable(Exception):
    """What came is no stream of movements."""


_decode = msgspec.json.Decoder(_Line).decode


async def follow_invalidation_feed(
    history: ServiceClient, pages: PageCache, limits: InvalidationFeedSettings
) -> None:
    """For ever, again whenever it breaks; between two streams no page is trusted."""
    outage = ReconnectBackoff(
        most=float("inf"), first_pause=limits.pause, most_pause=limits.most_pause
    )
    while True:
        try:
            await _follow(history, pages, limits, outage)
        except (ParleyError, aiohttp.ClientError, TimeoutError, OSError, _Unusable) as trouble:
            log.info("history's movements are not heard: %s", type(trouble).__name__)
        except Exception as surprise:
            # The next stream has to be asked for: without one no page is ever kept again.
            log_unexpected_error(log, "history's movements", surprise)
        finally:
            pages.stop()
        jitter = random.random()  # noqa: S311 - spreads retries, keeps no secret.
        await asyncio.sleep(outage.next_pause(asyncio.get_running_loop().time(), jitter) or 0)


async def _follow(
    history: ServiceClient,
    pages: PageCache,
    limits: InvalidationFeedSettings,
    outage: ReconnectBackoff,
) -> None:
    begun = b""
    async with history.stream(
        "GET",
        "/movements",
        principal=history.service_principal,
        request_id=uuid4().hex,
        idle_timeout=limits.silence,
    ) as stream:
        listening = False
        while received := await stream.readany():
            *lines, begun = (begun + received).split(b"\n")
            if len(begun) > limits.line_bytes:
                raise _Unusable
            for line in filter(None, lines):
                told = _line(line)
                if told.listening:
                    listening = True
                    pages.listen()
                    outage.is_over()
                pages.moved(told.moved)
            if listening:
                pages.heard()


def _line(line: bytes) -> _Line:
    try:
        return _decode(line)
    except ValueError:
        raise _Unusable from None
