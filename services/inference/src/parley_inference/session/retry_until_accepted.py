"""Telling session something until it has answered."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from parley_core.http.errors import ParleyError

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_FIRST_PAUSE_SECONDS = 0.1
# These say nothing about what was told.
_PASSING = frozenset((408, 425, 429))


async def retry_until_accepted(
    tell: Callable[[], Awaitable[Answer]], what: str, *, longest_pause: float
) -> Answer:
    """What session answers, for as long as it takes; `what` is it that a line of the log names.

    Raises the ParleyError of a refusal, which would come again.
    """
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return await tell()
        except ParleyError as error:
            if error.status < 500 and error.status not in _PASSING:
                raise
            if pause == _FIRST_PAUSE_SECONDS:
                log.warning("%s: session has not taken it yet: %s", what, error.code)
        await asyncio.sleep(pause * (1 + random.random()) / 2)  # noqa: S311 - it spreads load.
        pause = min(2 * pause, longest_pause)
