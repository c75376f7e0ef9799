"""Follows history's change feed and invalidates cached pages."""

import asyncio
import logging
from collections.abc import Sequence
from uuid import UUID, uuid4

import aiohttp
import msgspec

from parley_core.http.errors import ParleyError
from parley_core.http.service_client import ServiceClient
from parley_core.runtime.backoff import Backoff
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_gateway.history.page_cache import FEED_IDLE_TIMEOUT_SECONDS, PageCache

log = logging.getLogger(__name__)

RECONNECT_INITIAL_SECONDS = 0.1
RECONNECT_MAX_SECONDS = 2.0
MAX_LINE_BYTES = 1024 * 1024


class _Line(msgspec.Struct):
    listening: bool = False
    changed: Sequence[UUID] = ()


class _MalformedFeed(Exception):
    """A line of the feed is not valid."""


_decode = msgspec.json.Decoder(_Line).decode


async def follow_invalidation_feed(history: ServiceClient, pages: PageCache) -> None:
    """Runs until cancelled and reconnects after errors; the cache is suspended in between."""
    backoff = Backoff(RECONNECT_INITIAL_SECONDS, RECONNECT_MAX_SECONDS)
    while True:
        try:
            await _follow(history, pages, backoff)
        except (ParleyError, aiohttp.ClientError, TimeoutError, OSError, _MalformedFeed) as error:
            log.info("invalidation feed disconnected: %s", type(error).__name__)
        except Exception as error:
            # Reconnect even so: without the feed no page would ever be cached again.
            log_unexpected_error(log, "the invalidation feed", error)
        finally:
            pages.suspend()
        await asyncio.sleep(backoff.next_delay() or 0)


async def _follow(history: ServiceClient, pages: PageCache, backoff: Backoff) -> None:
    incomplete = b""
    async with history.stream(
        "GET",
        "/changes",
        principal=history.service_principal,
        request_id=uuid4().hex,
        idle_timeout=FEED_IDLE_TIMEOUT_SECONDS,
    ) as stream:
        is_listening = False
        while received := await stream.readany():
            *lines, incomplete = (incomplete + received).split(b"\n")
            if len(incomplete) > MAX_LINE_BYTES:
                raise _MalformedFeed
            for line in filter(None, lines):
                change = _parse(line)
                if change.listening:
                    is_listening = True
                    pages.resume()
                    backoff.reset()
                pages.invalidate(change.changed)
            if is_listening:
                pages.keepalive()


def _parse(line: bytes) -> _Line:
    try:
        return _decode(line)
    except ValueError:
        raise _MalformedFeed from None
